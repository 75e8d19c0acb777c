package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/internal/hint"
	"lep/model"
	"lep/tensor"
	"lep/tokenizer"
)

// rowRange is rows [from, to) of a matrix.
type rowRange struct{ from, to int }

// plan is which parameters of a model are trained.
type plan struct {
	trainable func(name string) bool
	lora      []model.LoRA
	rows      []rowRange // of embed_tokens and lm_head; nil for all
	adapter   *checkpoint.Adapter
}

// newPlan reads the settings for the model in dir.
func newPlan(o *Options, cfg *model.Config, dir string) (*plan, error) {
	layers, err := parseLayers(o.Layers, cfg.NumHiddenLayers)
	if err != nil {
		return nil, err
	}
	p := &plan{}
	switch o.Train {
	case Embeddings, NewRows:
		p.trainable = func(name string) bool {
			l, in := layerOf(name)
			return model.TrainEmbeddings(name) || in && layers != nil && layers.has(l)
		}
	case All:
		p.trainable = func(name string) bool {
			l, in := layerOf(name)
			return layers == nil || in && layers.has(l)
		}
	case LoRA:
		if err := p.planLoRA(o, cfg, layers); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(cfg.Parameters(), func(q model.Parameter) bool { return p.trainable(q.Name) }) && len(p.lora) == 0 {
		return nil, errors.New("train: the settings choose no parameter")
	}
	return p, p.planRows(o, cfg, dir)
}

// layerOf returns the layer of a parameter.
func layerOf(name string) (layer int, ok bool) {
	n, _ := fmt.Sscanf(name, "model.layers.%d.", &layer)
	return layer, n == 1
}

// names tells whether a module's path, or its end from a dot on, is in a list, as PEFT
// matches target_modules and modules_to_save.
func names(list []string, path string) bool {
	return slices.ContainsFunc(list, func(m string) bool { return path == m || strings.HasSuffix(path, "."+m) })
}

func (p *plan) planLoRA(o *Options, cfg *model.Config, layers layerRange) error {
	saved := o.ModulesToSave
	if o.Adapter != "" {
		a, err := checkpoint.OpenAdapter(o.Adapter)
		if err != nil {
			return err
		}
		p.adapter = a
		for _, m := range a.Modules {
			if m.Transposed {
				return fmt.Errorf("%s: module %q: LoRA of embeddings cannot be trained, only of linears", a.Dir(), m.Module)
			}
			p.lora = append(p.lora, model.LoRA{Module: m.Module, Rank: m.A.Rows(), Scale: m.Scale})
		}
		saved = nil
		for _, v := range a.Saved {
			saved = append(saved, strings.TrimSuffix(v.Name, ".weight"))
		}
	} else {
		scale := o.LoRAAlpha / float64(o.LoRAR)
		if o.UseRSLoRA {
			scale = o.LoRAAlpha / math.Sqrt(float64(o.LoRAR))
		}
		for _, q := range cfg.Parameters() {
			module, ok := strings.CutSuffix(q.Name, ".weight")
			l, in := layerOf(q.Name)
			if ok && in && len(q.Shape) == 2 && layers.has(l) && names(o.LoRATargetModules, module) {
				p.lora = append(p.lora, model.LoRA{Module: module, Rank: o.LoRAR, Scale: scale})
			}
		}
		if len(p.lora) == 0 {
			return hint.Errorf("modules are "+strings.Join(model.Modules, ", "), "lora_target_modules: %q are no linears of this model", o.LoRATargetModules)
		}
	}
	for _, m := range saved {
		known := func(q model.Parameter) bool { return names([]string{m}, strings.TrimSuffix(q.Name, ".weight")) }
		if !slices.ContainsFunc(cfg.Parameters(), known) && !(m == "lm_head" && cfg.TieWordEmbeddings) {
			return fmt.Errorf("modules_to_save: %q is no module of this model", m)
		}
	}
	tied := cfg.TieWordEmbeddings && names(saved, "lm_head")
	p.trainable = func(name string) bool {
		return names(saved, strings.TrimSuffix(name, ".weight")) || tied && name == model.EmbedTokens
	}
	return nil
}

// planRows finds the rows of the embeddings that are trained.
func (p *plan) planRows(o *Options, cfg *model.Config, dir string) error {
	switch {
	case o.FreezeRowsBelow >= cfg.VocabSize:
		return fmt.Errorf("freeze_rows_below is %d, want less than the %d rows there are", o.FreezeRowsBelow, cfg.VocabSize)
	case o.FreezeRowsBelow > 0:
		p.rows = []rowRange{{o.FreezeRowsBelow, cfg.VocabSize}}
	case o.Train == NewRows:
		old, err := oldIDs(dir)
		if err != nil {
			return err
		}
		for id, from := range old {
			if from != nil || id >= cfg.VocabSize {
				continue
			}
			if n := len(p.rows); n > 0 && p.rows[n-1].to == id {
				p.rows[n-1].to++
			} else {
				p.rows = append(p.rows, rowRange{id, id + 1})
			}
		}
		if len(p.rows) == 0 {
			return fmt.Errorf("%s: every token has an old id: there is no new row to train", filepath.Join(dir, tokenizer.OldIDsFile))
		}
	}
	return nil
}

// oldIDs reads for each token its id in the old vocabulary, nil if it is new.
func oldIDs(dir string) ([]*int32, error) {
	path := filepath.Join(dir, tokenizer.OldIDsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint.Errorf("say which rows are old: freeze_rows_below (--freeze-rows-below N)", "%s: is not there, so the new rows are not known", path)
	} else if err != nil {
		return nil, err
	}
	var file struct {
		OldIDs []*int32 `json:"old_ids"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(file.OldIDs) == 0 {
		return nil, fmt.Errorf("%s: old_ids: is not there", path)
	}
	return file.OldIDs, nil
}

// startAdapter fills the low-rank terms: from the adapter that is trained on, or A uniform
// within 1/sqrt(in) and B zero, as PEFT does. A matrix depends on the seed and its place among the
// trained parameters.
func (p *plan) startAdapter(trained []model.Param, seed uint64) error {
	if p.adapter == nil {
		for i, q := range trained {
			if !strings.HasSuffix(q.Name, loraA) {
				continue
			}
			bound := 1 / math.Sqrt(float64(q.Shape[1]))
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for j := range q.Data {
				q.Data[j] = float32((2*r.Float64() - 1) * bound)
			}
		}
		return nil
	}
	start := map[string]tensor.View{}
	for _, t := range p.adapter.Modules {
		start[t.Module+loraA], start[t.Module+loraB] = t.A, t.B
	}
	for _, v := range p.adapter.Saved {
		start[v.Name] = v
	}
	for _, q := range trained {
		v, ok := start[q.Name]
		if !ok && q.Name == model.EmbedTokens {
			v, ok = start[model.LMHead]
		}
		if !ok || !slices.Equal(v.Shape, q.Shape) {
			return fmt.Errorf("%s: tensor %q: shape %v, want %v (the model's)", p.adapter.Dir(), q.Name, v.Shape, q.Shape)
		}
		tensor.Decode32(q.Data, v.Data, v.DType)
	}
	return nil
}

const (
	loraA = ".lora_A.weight"
	loraB = ".lora_B.weight"
)
