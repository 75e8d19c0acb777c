package propagate

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lep/internal/golden"
)

// TestEmbed writes a whole model for each of the reference data's cases.
func TestEmbed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rows   int
		copied int
		zero   []int32
		noRow  []string
	}{
		{"I1", 1221, 600, []int32{33, 262, 400, 1216}, nil},
		{"I2", 800, 454, []int32{40, 295, 517}, nil},
		{"I3", 763, 420, []int32{69, 734}, []string{"<unk>", "<s>", "</s>"}},
		{"I4", 760, 435, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(golden.Untar(t, golden.Shared(t, "reference", "lep", "init", tt.name+".tar.gz")), tt.name)
			opts := DefaultEmbedOptions()
			opts.Model, opts.Tokenizer, opts.Out = filepath.Join(dir, "source"), filepath.Join(dir, "new_tokenizer"), filepath.Join(dir, "out")
			r, err := Embed(context.Background(), opts)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Checks {
				if !c.OK {
					t.Errorf("check %s: %s", c.Name, c.Detail)
				}
			}
			if r.Rows != tt.rows || r.Counts.Copied != tt.copied || !slices.Equal(r.NoRow, tt.noRow) {
				t.Errorf("%d rows, %+v, without source %q; want %d, %d copied, %q", r.Rows, r.Counts, r.NoRow, tt.rows, tt.copied, tt.noRow)
			}
			for _, id := range tt.zero {
				if !slices.Contains(r.Zero, id) {
					t.Errorf("zero rows %v, want %d among them", r.Zero, id)
				}
			}
			got, old := load(t, opts.Out), load(t, opts.Model)
			for id := range got.tok.Size() {
				if ids := got.tok.Token(int32(id)); ids == "" {
					t.Errorf("id %d is no token", id)
				}
			}
			for _, a := range old.tok.Definition().AddedTokens {
				id, ok := got.tok.ID(a.Content)
				if !ok || !slices.Contains(r.Zero, id) && string(got.embed.Row(int(id))) != string(old.embed.Row(int(a.ID))) {
					t.Errorf("%q does not have its old row", a.Content)
				}
			}

			opts.Compat, opts.Out = "reference", filepath.Join(dir, "out2")
			r, err = Embed(context.Background(), opts)
			if err != nil {
				t.Fatal(err)
			}
			free := 0
			for _, a := range load(t, opts.Out).tok.Definition().AddedTokens {
				if strings.HasPrefix(a.Content, "<|free_token") {
					free++
				}
			}
			if (tt.rows-len(r.Added)+free)%256 != 0 || free == 0 {
				t.Errorf("compat reference: %d free tokens before %d appended ones, want %d rows to become a multiple of 256", free, len(r.Added), tt.rows-len(r.Added))
			}
		})
	}
}

func TestEmbedOptions(t *testing.T) {
	for _, tt := range []struct {
		set  func(*EmbedOptions)
		want string
	}{
		{func(o *EmbedOptions) { o.Model = "" }, "model"},
		{func(o *EmbedOptions) { o.Tokenizer = "" }, "tokenizer"},
		{func(o *EmbedOptions) { o.Method = "middle" }, "want mean, weighted or random"},
		{func(o *EmbedOptions) { o.Head = "both" }, "want separate or tie"},
		{func(o *EmbedOptions) { o.SpaceWeight = 2 }, "space_weight"},
		{func(o *EmbedOptions) { o.ShardSize = 0 }, "max_shard_size"},
	} {
		o := DefaultEmbedOptions()
		o.Model, o.Tokenizer, o.Out = "m", "t", "o"
		tt.set(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
}
