package torch

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"lep/internal/atomic"
	"lep/model"
	"lep/train"
)

// driver is the Python package that does the steps.
//
//go:embed lep_torch/*.py
var driver embed.FS

const driverPackage = "lep_torch"

// driverDigest returns the SHA-256 of the driver's files as its job.digest computes it: names and contents
// in the order of names.
func driverDigest() string {
	h := sha256.New()
	entries, err := driver.ReadDir(driverPackage)
	if err != nil {
		panic(err) // it is part of the binary
	}
	for _, e := range entries {
		data, err := driver.ReadFile(driverPackage + "/" + e.Name())
		if err != nil {
			panic(err)
		}
		h.Write([]byte(e.Name() + "\x00"))
		h.Write(append(data, 0))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeDriver writes the driver into dir, in place of one that is there.
func writeDriver(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, driverPackage)); err != nil {
		return err
	}
	return fs.WalkDir(driver, driverPackage, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		}
		data, err := driver.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), data, 0o644)
	})
}

// jobVersion is that of job.json; the driver's job.py has the same.
const jobVersion = 1

// job is job.json; job.py says what the fields mean.
type job struct {
	Version                   int                 `json:"version"`
	DriverSHA256              string              `json:"driver_sha256"`
	Run                       string              `json:"run"`
	Work                      string              `json:"work"`
	Model                     string              `json:"model"`
	Tokens                    string              `json:"tokens"`
	EvalTokens                string              `json:"eval_tokens"`
	Start                     string              `json:"start"`
	Schedule                  string              `json:"schedule"`
	Resume                    string              `json:"resume"`
	State                     json.RawMessage     `json:"state"`
	Recipe                    string              `json:"recipe"`
	Trained                   []string            `json:"trained"`
	Rows                      [][2]int            `json:"rows"`
	LoRA                      []lowRank           `json:"lora"`
	PerDeviceBatchSize        int                 `json:"per_device_batch_size"`
	GradientAccumulationSteps int                 `json:"gradient_accumulation_steps"`
	Optimizer                 train.OptimizerName `json:"optimizer"`
	LearningRate              float64             `json:"learning_rate"`
	EmbeddingLR               float64             `json:"embedding_lr"`
	WeightDecay               float64             `json:"weight_decay"`
	AdamBeta1                 float64             `json:"adam_beta1"`
	AdamBeta2                 float64             `json:"adam_beta2"`
	AdamEpsilon               float64             `json:"adam_epsilon"`
	Momentum                  float64             `json:"momentum"`
	MaxGradNorm               float64             `json:"max_grad_norm"`
	EvalSteps                 int                 `json:"eval_steps"`
	EarlyStoppingPatience     int                 `json:"early_stopping_patience"`
	LoadBestModelAtEnd        bool                `json:"load_best_model_at_end"`
	LoggingSteps              int                 `json:"logging_steps"`
	SaveSteps                 int                 `json:"save_steps"`
	SaveMinutes               float64             `json:"save_minutes"`
	SaveTotalLimit            int                 `json:"save_total_limit"`
	EpochSteps                []int               `json:"epoch_steps"`
	FLOPsPerToken             float64             `json:"flops_per_token"`
	GradientCheckpointing     bool                `json:"gradient_checkpointing"`
	Attention                 string              `json:"attention"`
	Compile                   bool                `json:"compile"`
	Precision                 string              `json:"precision"`
	Threads                   int                 `json:"threads"`
}

type lowRank struct {
	Module string  `json:"module"`
	Rank   int     `json:"rank"`
	Scale  float64 `json:"scale"`
}

func lowRanks(terms []model.LoRA) []lowRank {
	var out []lowRank
	for _, t := range terms {
		out = append(out, lowRank{t.Module, t.Rank, t.Scale})
	}
	return out
}

// newJob fills in what the settings say; the caller adds the files.
func newJob(t *train.Job, device train.Device, ranks int) (*job, error) {
	o := t.Options()
	state, recipe, err := t.State()
	if err != nil {
		return nil, err
	}
	j := &job{Version: jobVersion, DriverSHA256: driverDigest(), Model: t.ModelDir(), Resume: t.Checkpoint(), State: state, Recipe: string(recipe), Rows: t.Rows(),
		LoRA: lowRanks(t.LoRA()), PerDeviceBatchSize: o.PerDeviceBatchSize, GradientAccumulationSteps: o.GradientAccumulationSteps,
		Optimizer: o.Optimizer, LearningRate: o.LearningRate, EmbeddingLR: o.EmbeddingLR, WeightDecay: o.WeightDecay,
		AdamBeta1: o.AdamBeta1, AdamBeta2: o.AdamBeta2, AdamEpsilon: o.AdamEpsilon, Momentum: o.Momentum, MaxGradNorm: o.MaxGradNorm,
		EvalSteps: o.EvalSteps, EarlyStoppingPatience: o.EarlyStoppingPatience, LoadBestModelAtEnd: o.LoadBestModelAtEnd,
		LoggingSteps: o.LoggingSteps, SaveSteps: o.SaveSteps, SaveMinutes: o.SaveMinutes, SaveTotalLimit: o.SaveTotalLimit,
		FLOPsPerToken: t.FLOPsPerToken(), GradientCheckpointing: o.GradientCheckpointing, Attention: o.Torch.Attention, Compile: o.Torch.Compile,
		Precision: "float32", Threads: max(1, o.Threads/ranks)}
	if device == train.CUDA || o.Precision == train.BF16 {
		j.Precision = "bf16"
	}
	for _, p := range t.Trained() {
		j.Trained = append(j.Trained, p.Name)
	}
	for _, path := range []*string{&j.Model, &j.Resume} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return nil, err
			}
		}
	}
	return j, nil
}

// write puts job.json and all that it names into the folder work.
func (j *job) write(t *train.Job, work string) error {
	if err := writeDriver(work); err != nil {
		return err
	}
	var rates []byte
	course := t.Rates()
	for step := range t.Steps() {
		rates = binary.LittleEndian.AppendUint64(rates, math.Float64bits(course.Factor(step)))
	}
	j.Work, j.Run, j.Schedule = work, filepath.Dir(work), filepath.Join(work, "schedule.f64")
	if err := atomic.WriteFile(j.Schedule, rates, true); err != nil {
		return err
	}
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := atomic.WriteFile(filepath.Join(work, jobFile), append(data, '\n'), true); err != nil {
		return fmt.Errorf("job of the torch backend: %w", err)
	}
	return nil
}
