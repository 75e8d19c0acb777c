package cli

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lep/corpus"
	"lep/internal/pocket"
	"lep/linalg"
	"lep/propagate"
	"lep/tokenizer"
	"lep/vocab/build"
)

type encodeBench struct {
	Tokenizer   string  `json:"tokenizer"`
	Threads     int     `json:"threads"`
	Bytes       int     `json:"bytes"`
	Tokens      int     `json:"tokens"`
	MBPerSecond float64 `json:"mb_per_second"`
}

func (a *app) benchCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed on this machine",
		Long: `Measure speed on this machine: matrix products, encoding, and a propagation of the size of a small model, on bundled
texts and tokenizers. The subcommands measure one thing on inputs of your own. Peers run beside these in make bench.`,
		Example: "  lep bench\n  lep bench encode --tokenizer ./model --data corpus.jsonl.zst",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.benchAll(cmd.Context()) },
	}
	cmd.AddCommand(a.benchEncodeCmd(), a.benchTrainCmd(), a.benchInferCmd(), a.benchInputsCmd())
	return cmd
}

type benchReport struct {
	SGEMM     float64     `json:"sgemm_gflops"`
	DGEMM     float64     `json:"dgemm_gflops"`
	BLAS      string      `json:"blas"`
	Encode    encodeBench `json:"encode"`
	Propagate struct {
		Rows       int     `json:"rows"`
		Hidden     int     `json:"hidden_size"`
		Seconds    float64 `json:"seconds"`
		CPUSeconds float64 `json:"cpu_seconds"`
	} `json:"propagate"`
}

// benchHidden and benchRows are the size of the propagation in lep bench: that of a model
// with 0.1 billion parameters in its embeddings.
const (
	benchHidden = 768
	benchRows   = 65536
)

func (a *app) benchAll(ctx context.Context) error {
	var r benchReport
	b, err := linalg.Open(a.blas, a.threads)
	if err != nil {
		return usageError{err}
	}
	r.BLAS = b.Name()
	r.SGEMM, r.DGEMM = gflops(b)
	temp, err := os.MkdirTemp("", "lep-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	family, err := pocket.Unpack(ctx, temp)
	if err != nil {
		return err
	}
	tok, err := tokenizer.Open(family.Base)
	if err != nil {
		return err
	}
	texts, err := pocket.Heldout("ru")
	if err != nil {
		return err
	}
	r.Encode = a.encodeSpeed(ctx, tok, texts)
	r.Encode.Tokenizer = "bundled"
	if err := a.benchPropagate(ctx, &r, b, temp, family); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(r)
	}
	return a.table([][]string{
		{"matrix product " + r.BLAS, fmt.Sprintf("%.0f GFLOPS float32, %.0f GFLOPS float64", r.SGEMM, r.DGEMM)},
		{"encode, Russian", fmt.Sprintf("%.1f MB/s with %d threads", r.Encode.MBPerSecond, a.threads)},
		{"propagate", fmt.Sprintf("%s rows of %d: %.1f s, %.1f CPU s", thousands(int64(r.Propagate.Rows)), r.Propagate.Hidden, r.Propagate.Seconds, r.Propagate.CPUSeconds)},
	})
}

func (a *app) benchPropagate(ctx context.Context, r *benchReport, b linalg.BLAS, temp string, family *pocket.Family) error {
	in := benchInputs{
		old: family.Base, next: family.Donors["extension"], out: filepath.Join(temp, "triple"),
		hidden: benchHidden, oldRows: benchRows, newRows: benchRows, layers: 1,
	}
	if err := in.write(); err != nil {
		return err
	}
	opts := propagate.DefaultOptions()
	opts.Source, opts.Donor = filepath.Join(in.out, "source"), filepath.Join(in.out, "donor")
	opts.Targets = []propagate.Target{{Model: filepath.Join(in.out, "target"), Out: filepath.Join(temp, "result")}}
	opts.BLAS, opts.Threads, opts.PadToMultipleOf = b, a.threads, benchRows
	result, err := propagate.Run(ctx, opts)
	if err != nil {
		return err
	}
	r.Propagate.Rows, r.Propagate.Hidden = result.Targets[0].Rows, result.Dim
	r.Propagate.Seconds, r.Propagate.CPUSeconds = float64(result.Seconds), float64(result.CPUSeconds)
	return nil
}

func (a *app) benchEncodeCmd() *cobra.Command {
	var path, data string
	var limit int
	cmd := &cobra.Command{
		Use:   "encode --tokenizer T --data F",
		Short: "Encoding speed on a corpus",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tok, err := build.OpenTokenizer(path)
			if err != nil {
				return err
			}
			r, err := corpus.Open([]string{data}, corpus.DefaultOptions())
			if err != nil {
				return err
			}
			var texts []string
			n := 0
			for text, err := range r.Texts(cmd.Context()) {
				if err != nil {
					return err
				}
				texts = append(texts, text)
				if n += len(text); n >= limit {
					break
				}
			}
			result := a.encodeSpeed(cmd.Context(), tok, texts)
			result.Tokenizer = path
			if a.json {
				return a.printJSON(result)
			}
			_, err = fmt.Fprintf(a.out, "%.1f MB/s, %s tokens of %s\n", result.MBPerSecond, thousands(int64(result.Tokens)), byteSize(int64(result.Bytes)))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "tokenizer", "", "tokenizer folder, file or hub id")
	f.StringVar(&data, "data", "", "texts")
	f.IntVar(&limit, "bytes", 8e6, "bytes of text to read")
	cobra.CheckErr(cmd.MarkFlagRequired("tokenizer"))
	cobra.CheckErr(cmd.MarkFlagRequired("data"))
	return cmd
}

// encodeSpeed encodes the texts three times; the best counts.
func (a *app) encodeSpeed(ctx context.Context, tok *tokenizer.Tokenizer, texts []string) encodeBench {
	r := encodeBench{Threads: a.threads}
	for _, t := range texts {
		r.Bytes += len(t)
	}
	best := math.Inf(1)
	for range 3 {
		start := time.Now()
		r.Tokens = 0
		if a.threads == 1 {
			var ids []int32
			for _, t := range texts {
				ids = tok.AppendEncode(ids[:0], t)
				r.Tokens += len(ids)
			}
		} else {
			for _, ids := range tok.EncodeAll(ctx, texts, a.threads) {
				r.Tokens += len(ids)
			}
		}
		best = min(best, time.Since(start).Seconds())
	}
	r.MBPerSecond = float64(r.Bytes) / best / 1e6
	return r
}

func (a *app) benchInputsCmd() *cobra.Command {
	in := benchInputs{}
	cmd := &cobra.Command{
		Use:   "inputs --old-tokenizer T --new-tokenizer T2 --out DIR",
		Short: "Write a synthetic source, target and donor of any size",
		Long: `Write a synthetic source, target and donor of any size, to measure propagation. Rows are pseudo-random with a falling
spectrum; the target's are a fixed linear map of the source's plus noise. Layers are zeros and, where the file system can, take no room.`,
		Example: "  lep bench inputs --old-tokenizer ./llama3 --new-tokenizer ./extended --hidden 4096 --layers 32 --out triple",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			final := in.out
			return a.writeDir(final, func(dir string) error {
				in.out = dir
				return in.write()
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.old, "old-tokenizer", "", "tokenizer folder of source and target")
	f.StringVar(&in.next, "new-tokenizer", "", "tokenizer folder of the donor")
	f.StringVar(&in.out, "out", "", "folder to write")
	f.IntVar(&in.hidden, "hidden", 1024, "hidden_size")
	f.IntVar(&in.layers, "layers", 1, "num_hidden_layers")
	f.IntVar(&in.oldRows, "old-rows", 0, "rows of source and target (0: as the tokenizer)")
	f.IntVar(&in.newRows, "new-rows", 0, "rows of the donor (0: as the tokenizer)")
	f.BoolVar(&in.tied, "tied", false, "one matrix for both ends")
	for _, name := range []string{"old-tokenizer", "new-tokenizer", "out"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

// copyTokenizer copies the files of a tokenizer folder.
func copyTokenizer(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !strings.Contains(name, "token") && name != "chat_template.jinja" || name == "tokenizer.model" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, 0o644); err != nil {
			return err
		}
	}
	return nil
}
