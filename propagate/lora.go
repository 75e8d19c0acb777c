package propagate

import (
	"fmt"
	"os"
	"path/filepath"

	"lep/checkpoint"
	"lep/internal/hint"
)

// openDonor opens the donor. An adapter is split as the authors do: what it says of
// embed_tokens and lm_head is merged into its base, which is then the donor; the rest
// is merged into the result's layers.
func openDonor(opts *Options) (*model, *checkpoint.Adapter, error) {
	dir, err := checkpoint.Resolve(opts.Donor)
	if err != nil {
		return nil, nil, fmt.Errorf("donor: %w", err)
	}
	if !checkpoint.IsAdapter(dir) {
		m, err := openModel("donor", opts.Donor)
		return m, nil, err
	}
	a, err := checkpoint.OpenAdapter(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("donor: %w", err)
	}
	m, err := openAdapted(a, opts)
	if err != nil {
		a.Close()
		return nil, nil, fmt.Errorf("donor: %w", err)
	}
	return m, a, nil
}

func openAdapted(a *checkpoint.Adapter, opts *Options) (*model, error) {
	base, err := openBase(a)
	if err != nil {
		return nil, err
	}
	merged, err := checkpoint.Merge(base, a.EmbeddingPart(), opts.merge())
	if err == nil {
		m := &model{role: "donor", Model: base, weights: merged, tokDir: a.Dir()}
		if err = m.open(); err == nil {
			return m, nil
		}
	}
	base.Close()
	return nil, err
}

// openBase opens the model that an adapter names: as it stands, or beside the adapter.
func openBase(a *checkpoint.Adapter) (*checkpoint.Model, error) {
	name := a.Config.BaseModel
	if beside := filepath.Join(filepath.Dir(a.Dir()), name); filepath.IsLocal(name) {
		if _, err := os.Stat(filepath.Join(beside, checkpoint.ConfigFile)); err == nil {
			return checkpoint.Open(beside)
		}
	}
	base, err := checkpoint.Open(name)
	if err != nil {
		return nil, hint.Errorf("put the base model where adapter_config.json says, or beside the adapter",
			"%s: base_model_name_or_path: %w", a.Dir(), err)
	}
	return base, nil
}

// merge are the settings of both merges. A tied model stays tied: the head that was
// saved is the embedding of both ends.
func (o *Options) merge() checkpoint.MergeOptions {
	return checkpoint.MergeOptions{AlphaScale: o.AlphaScale, NotScaleLMHead: o.NotScaleLMHead, Tying: checkpoint.TyingShare}
}
