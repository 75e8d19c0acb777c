package checkpoint

import (
	"path/filepath"
	"testing"

	"lep/internal/golden"
)

func TestOpenReferenceCheckpoints(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(golden.Shared(t, "reference", "models", "checkpoints"), "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no checkpoints: %v", err)
	}
	dirs = append(dirs, golden.Shared(t, "reference", "pocket", "pocket-base"), golden.Shared(t, "reference", "pocket", "donors", "bpe"))
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			d, err := ReadDimensions(m.Config())
			if err != nil {
				t.Fatal(err)
			}
			embed, err := m.EmbedTokens()
			if err != nil {
				t.Fatal(err)
			}
			head, err := m.LMHead()
			if err != nil {
				t.Fatal(err)
			}
			tied, err := m.Tied()
			if err != nil {
				t.Fatal(err)
			}
			if embed.Rows() != d.VocabSize || embed.Cols() != d.HiddenSize || head.Rows() != d.VocabSize {
				t.Errorf("embed %v, head %v, config %+v", embed.Shape, head.Shape, d)
			}
			if tied != (head.Name == embed.Name) {
				t.Errorf("tied %v, head %q", tied, head.Name)
			}
			if len(m.Notes) != 0 {
				t.Errorf("notes %q", m.Notes)
			}
			bytes := 0
			for _, name := range m.Names() {
				v, err := m.Tensor(name)
				if err != nil {
					t.Fatal(err)
				}
				for at, b := range m.Blocks(v) {
					if at == 0 && len(b.Data) == 0 {
						t.Errorf("%s: empty block", name)
					}
					bytes += len(b.Data)
				}
			}
			want := 0
			for _, f := range m.files {
				e := f.Entries()
				want += int(e[len(e)-1].End)
			}
			if bytes != want {
				t.Errorf("blocks hold %d bytes, want %d", bytes, want)
			}
		})
	}
}
