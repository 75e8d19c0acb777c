package train

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"lep/corpus/shard"
)

// TestBlocksOfAJob trains on a run's rows as another engine gets them.
func TestBlocksOfAJob(t *testing.T) {
	path, _ := numbered(t, 60)
	o := tokenizeOptions(t, path, "none")
	want := trainShort(t, o)
	o.MaxSteps, o.PerDeviceBatchSize, o.Out, o.Backend = 6, 2, filepath.Join(t.TempDir(), "run"), PyTorch
	j, _, err := OpenJob(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	dir := t.TempDir()
	for range 2 { // the second time they are there
		if _, err := j.WriteBlocks(context.Background(), dir); err != nil {
			t.Fatal(err)
		}
	}
	m, err := shard.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if j.Steps() != 6 || m.Blocks != 12 {
		t.Errorf("%d blocks for %d steps, want 12 for 6", m.Blocks, j.Steps())
	}
	o.Data, o.SequenceLen, o.Backend = []string{dir}, 0, Native
	if got := trainShort(t, o); !slices.Equal(got, want) {
		t.Errorf("losses from shards %v, from the texts %v", got, want)
	}
}
