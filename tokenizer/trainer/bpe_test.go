package trainer

import (
	"bytes"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lep/internal/golden"
	"lep/tokenizer"
)

// lines yields the lines of texts with their LF, as HF's train([file]) sees them.
func lines(texts ...[]byte) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, text := range texts {
			for line := range bytes.Lines(text) {
				if !yield(string(line), nil) {
					return
				}
			}
		}
	}
}

func of(texts ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, t := range texts {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// TestBPEGoldens wants exactly HF's merges and vocabulary.
func TestBPEGoldens(t *testing.T) {
	dir := golden.Shared(t, "reference", "tokenizers", "train")
	text := map[string][]byte{}
	for _, lang := range []string{"ru", "en"} {
		text[lang] = golden.Read(t, filepath.Join(dir, lang+"_train.txt.gz"))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "hf", "*.json.gz"))
	if len(files) != 9 {
		t.Fatalf("%d goldens, want 9", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".tokenizer.json.gz")
		t.Run(name, func(t *testing.T) {
			want, err := tokenizer.ReadJSON(golden.Read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			part := strings.Split(name, "-")
			opts := DefaultBPEOptions()
			opts.Pattern = part[1]
			opts.Size, _ = strconv.Atoi(part[2])
			opts.Threads = 1 + len(name)%3
			corpus := lines(text[part[0]])
			if part[0] == "mix" {
				corpus = lines(text["ru"], text["en"])
			}
			got, err := TrainBPE(t.Context(), corpus, opts)
			if err != nil {
				t.Fatal(err)
			}
			d := got.Definition
			if !slices.Equal(d.Model.Pieces, want.Model.Pieces) {
				t.Error("pieces differ")
			}
			for i := range max(len(d.Model.Merges), len(want.Model.Merges)) {
				if i >= len(d.Model.Merges) || i >= len(want.Model.Merges) || d.Model.Merges[i] != want.Model.Merges[i] {
					t.Fatalf("merges differ from number %d on (%d, want %d)", i, len(d.Model.Merges), len(want.Model.Merges))
				}
			}
			gotJSON, err := d.JSON()
			if err != nil {
				t.Fatal(err)
			}
			wantJSON, err := want.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(wantJSON), "\n"), strings.Split(string(gotJSON), "\n")); diff != "" {
				t.Errorf("tokenizer.json (-want +got):\n%.2000s", diff)
			}
		})
	}
}

// TestSpecialInText: a merge that spells a special token takes its id, as in HF
// (checked with tokenizers 0.23.3), and the file stays one that can be read.
func TestSpecialInText(t *testing.T) {
	opts := BPEOptions{Size: 261, Pattern: "gpt2", Special: []string{"<s>", "ab", "Ġab"}, Threads: 1}
	r, err := TrainBPE(t.Context(), of("ab ab ab abc abd abd"), opts)
	if err != nil {
		t.Fatal(err)
	}
	var merges []string
	text := map[int32]string{}
	for _, p := range r.Definition.Model.Pieces {
		text[p.ID] = p.Text
	}
	for _, m := range r.Definition.Model.Merges {
		merges = append(merges, text[m.Left]+" "+text[m.Right]+" "+strconv.Itoa(int(m.Product)))
	}
	if want := []string{"a b 1", "Ġ ab 2", "Ġab d 259", "Ġab c 260"}; !slices.Equal(merges, want) {
		t.Errorf("merges %q, want %q", merges, want)
	}
	data, err := r.Definition.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokenizer.ReadJSON(data); err != nil {
		t.Error(err)
	}
}
