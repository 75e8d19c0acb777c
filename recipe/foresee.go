package recipe

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"lep/checkpoint"
	"lep/corpus"
	"lep/internal/hint"
	"lep/model"
	"lep/propagate"
	"lep/train"
	"lep/vocab/build"
	"lep/vocab/scenario"
)

// Foreseen is what is known of a stage before it runs. Figures are estimates, 0 where there are none.
type Foreseen struct {
	Stage   string  `json:"stage"`
	Kind    Kind    `json:"kind"`
	State   State   `json:"state"`
	Why     string  `json:"why,omitempty"` // of outdated and changed
	Seconds float64 `json:"seconds"`
	Memory  int64   `json:"memory_bytes"`
	Disk    int64   `json:"disk_bytes"`
	Problem string  `json:"problem,omitempty"` // why it cannot be done
	Advice  string  `json:"advice,omitempty"`
}

// shape is a model's size: of the source, or of one with another vocabulary.
type shape struct {
	cfg   *model.Config
	bytes int64 // of its weight files
}

// Rates for forecasts of what is not arithmetic, from docs/LOG.md, for one thread where it matters.
const (
	vocabBytesPerSecond = 8e6   // reading texts and learning from them
	diskBytesPerSecond  = 300e6 // writing models
	trainEfficiency     = 0.5   // of the peak GFLOPS in training
	projectEfficiency   = 0.6   // in the products of a propagation, which are in double precision
	textBytesPerToken   = 4.0   // for lengths of data in tokens
	packRatio           = 3.5   // of compressed texts
)

// Foresee tells what a run would do and what that takes, and writes nothing. With a plan that cannot be
// done for want of memory or disk it returns the list and an error.
func Foresee(r *Recipe, opts Options) ([]Foreseen, error) {
	run, err := lay(r, opts)
	if err != nil {
		return nil, err
	}
	if err := run.look(); err != nil {
		return nil, err
	}
	list, err := run.foreseeAll()
	if err != nil {
		return nil, err
	}
	return list, run.refuse(list)
}

// foreseeAll goes through the stages that are wanted.
func (r *Run) foreseeAll() ([]Foreseen, error) {
	known := shapes{}
	want := r.wanted()
	var out []Foreseen
	for _, s := range r.graph.Stages {
		if !want[s] {
			continue
		}
		f, err := r.foresee(s, known)
		if err != nil {
			return nil, err
		}
		if f.State != Done && f.Problem == "" {
			if f.Problem, err = s.speechless(); err != nil {
				return nil, err
			} else if f.Problem != "" {
				f.Advice = "conversations need one: take a model that has it, or put chat_template.jinja into its folder"
			}
		}
		out = append(out, f)
	}
	return out, nil
}

// shapes are those of the models that stages make.
type shapes map[*Stage]*shape

// begin finds the shape of the model that a stage begins with, nil for a stage that is about none or about all.
func (known shapes) begin(s *Stage) (*shape, error) {
	if s.Kind == KindReport {
		return nil, nil
	}
	for _, n := range s.Needs {
		if n.Kind != KindCalibrate {
			return known[n], nil
		}
	}
	path := s.givenModel()
	if path == "" {
		return nil, nil
	}
	return openShape(path)
}

// openShape reads the size of a model.
func openShape(path string) (*shape, error) {
	dir, err := checkpoint.Resolve(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, checkpoint.ConfigFile))
	if err != nil {
		return nil, err
	}
	s := &shape{}
	if s.cfg, err = model.ParseConfig(data); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		s.bytes += info.Size()
	}
	return s, nil
}

// withVocabulary is the shape with another number of rows.
func (s *shape) withVocabulary(rows int) *shape {
	cfg := *s.cfg
	cfg.VocabSize = rows
	elements := int64(0)
	for _, p := range s.cfg.Parameters() {
		elements += int64(p.Elements())
	}
	matrices := int64(2)
	if cfg.TieWordEmbeddings {
		matrices = 1
	}
	width := float64(s.bytes) / float64(max(1, elements)) // bytes of an element
	more := float64(int64(rows-s.cfg.VocabSize)*int64(cfg.HiddenSize)*matrices) * width
	return &shape{cfg: &cfg, bytes: s.bytes + int64(more)}
}

// vocabulary is the shape behind a vocabulary stage: its real size where it is done, else the largest
// that it can have.
func (r *Run) vocabulary(s *Stage, o build.Options, base *shape) *shape {
	st := r.state[s]
	var sum build.Summary
	if st.state == Done && json.Unmarshal(st.record.Result, &sum) == nil && sum.Size > 0 {
		return base.withVocabulary(sum.Size)
	}
	rows := o.TrainSize
	if o.Scenario != scenario.Replacement {
		rows += base.cfg.VocabSize
	}
	if o.Extend.Size > 0 {
		rows = min(rows, o.Extend.Size)
	}
	return base.withVocabulary(max(1, rows))
}

// foresee tells what a stage takes, and keeps the shape that its model has.
func (r *Run) foresee(s *Stage, known shapes) (Foreseen, error) {
	st := r.state[s]
	f := Foreseen{Stage: s.Name, Kind: s.Kind, State: st.state, Why: st.why}
	own, err := known.begin(s)
	if err != nil || own == nil {
		return f, err
	}
	known[s] = own
	switch o := s.options.(type) {
	case build.Options:
		known[s] = r.vocabulary(s, o, own)
		f.Seconds = 2 * dataBytes(o.Files) / vocabBytesPerSecond
		f.Memory = int64(min(4e9, 200e6+dataBytes(o.Files)*4))
		f.Disk = int64(known[s].cfg.VocabSize) * 100
	case propagate.EmbedOptions:
		f.Disk, f.Memory = own.bytes, 500e6
		f.Seconds = float64(own.bytes) / diskBytesPerSecond
	case propagate.Options:
		d := float64(own.cfg.HiddenSize)
		f.Disk, f.Memory = own.bytes, int64(8*8*d*d)+500e6
		f.Seconds = float64(own.bytes) / diskBytesPerSecond
		if r.opts.GFLOPS > 0 {
			f.Seconds += 2 * 4 * float64(own.cfg.VocabSize) * d * d / (r.opts.GFLOPS / 2 * 1e9 * projectEfficiency)
		}
	case Train:
		r.foreseeTraining(s, o.Options, own, &f)
	case Calibrate, Eval:
		f.Memory = own.bytes + 1<<30
	default:
		f.Disk = own.bytes
	}
	if f.State == Done {
		f.Seconds, f.Memory, f.Disk = 0, 0, 0
	}
	return f, nil
}

func (r *Run) foreseeTraining(s *Stage, o train.Options, own *shape, f *Foreseen) {
	o.Threads, o.Memory = r.threads(s), r.opts.Memory
	c, err := train.Foresee(o, own.cfg)
	r.free = max(r.free, c.Free)
	f.Memory = c.Total
	f.Disk = own.bytes + int64(max(1, o.SaveTotalLimit))*c.CheckpointBytes
	tokens := float64(o.MaxSteps) * float64(c.TokensPerStep)
	if o.MaxSteps == 0 {
		tokens = o.NumEpochs * dataBytes(o.Data) / textBytesPerToken
	}
	if r.opts.GFLOPS > 0 {
		f.Seconds = tokens * c.FLOPsPerToken / (r.opts.GFLOPS * 1e9 * trainEfficiency)
	}
	if o.Backend == train.PyTorch { // its memory is that of the GPUs
		f.Memory, f.Seconds = 0, 0
		return
	}
	if err != nil {
		f.Problem, f.Advice = err.Error(), hint.Of(err)
	}
}

// dataBytes is about how much text files hold; those that are not there yet count nothing.
func dataBytes(specs []string) float64 {
	n := 0.0
	for _, text := range specs {
		spec, err := corpus.ParseSpec(text)
		if err != nil {
			continue
		}
		for _, file := range spec.Files {
			info, err := os.Stat(file)
			if err != nil {
				continue
			}
			size := float64(info.Size())
			if ext := filepath.Ext(file); ext == ".zst" || ext == ".gz" {
				size *= packRatio
			}
			n += size
		}
	}
	return n
}

// refuse is an error if what is foreseen cannot be done: too little memory or disk.
func (r *Run) refuse(list []Foreseen) error {
	var disk int64
	for _, f := range list {
		if f.State == Done {
			continue
		}
		if f.Problem != "" {
			return hint.Errorf(f.Advice, "stage %s: %s", f.Stage, f.Problem)
		}
		disk += f.Disk
	}
	free := freeDisk(r.recipe.RunDir)
	if free > 0 && disk > free {
		return hint.Errorf("choose another disk with --out, fewer variants, or a smaller save_total_limit",
			"%s: %.1f GB of disk foreseen, %.1f GB free", r.recipe.RunDir, float64(disk)/1e9, float64(free)/1e9)
	}
	return nil
}

// limits keeps what stages take, for those that run at a time.
func (r *Run) limits(list []Foreseen) {
	for _, s := range r.graph.Stages {
		for _, f := range list {
			if f.Stage == s.Name {
				r.state[s].memory = f.Memory
			}
		}
	}
}

// mayStart reports whether a stage fits beside those that run: one always may.
func (r *Run) mayStart(s *Stage, running map[*Stage]bool) bool {
	if len(running) == 0 {
		return true
	}
	jobs := r.jobs(s)
	need := r.state[s].memory
	for other := range running {
		jobs = min(jobs, r.jobs(other))
		need += r.state[other].memory
	}
	if len(running) >= jobs {
		return false
	}
	free := r.opts.Memory
	if free == 0 {
		free = r.free
	}
	return free == 0 || need <= free
}
