package cli

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lep/linalg"
)

type blasInfo struct {
	Name        string  `json:"name"`
	Chosen      bool    `json:"chosen"`
	Found       bool    `json:"found"`
	Detail      string  `json:"detail,omitempty"`
	Path        string  `json:"path,omitempty"`
	Version     string  `json:"version,omitempty"` // of a library; the processor's instructions for builtin
	SGEMMGFLOPS float64 `json:"sgemm_gflops,omitempty"`
	DGEMMGFLOPS float64 `json:"dgemm_gflops,omitempty"`
}

type doctorReport struct {
	Version versionInfo `json:"version"`
	CPUs    int         `json:"cpus"`
	Threads int         `json:"threads"`
	BLAS    []blasInfo  `json:"blas"`
	Torch   torchInfo   `json:"torch"`
}

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Show what this machine offers: processors, linear algebra libraries and their measured speed, PyTorch and GPUs",
		Example: "  lep doctor\n  lep doctor --blas builtin --threads 1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := doctorReport{Version: currentVersion(), CPUs: runtime.NumCPU(), Threads: a.threads}
			chosen, err := linalg.Open(a.blas, a.threads)
			if err != nil {
				return err
			}
			for _, f := range linalg.Probe(a.threads) {
				info := blasInfo{Name: f.Name, Found: f.Err == nil, Chosen: f.Name == chosen.Name(), SGEMMGFLOPS: f.SGEMM, DGEMMGFLOPS: f.DGEMM,
					Path: f.Path, Version: f.Version}
				if f.Err != nil {
					info.Detail = f.Err.Error()
				}
				r.BLAS = append(r.BLAS, info)
			}
			r.Torch = probeTorch(cmd.Context())
			if a.json {
				return a.printJSON(r)
			}
			fmt.Fprintf(a.out, "lep %s, %s, %s/%s, %d processors, %d threads used\n\n", r.Version.Version, r.Version.Go,
				r.Version.OS, r.Version.Arch, r.CPUs, r.Threads)
			rows := [][]string{{"linear algebra", "float32 GFLOPS", "float64 GFLOPS", ""}}
			for _, b := range r.BLAS {
				if !b.Found {
					rows = append(rows, []string{b.Name, "-", "-", b.Detail})
					continue
				}
				mark := strings.TrimSpace(b.Version + " " + b.Path)
				if b.Chosen {
					mark = strings.TrimSpace("<- --blas " + a.blas + "  " + mark)
				}
				rows = append(rows, []string{b.Name, fmt.Sprintf("%.0f", b.SGEMMGFLOPS), fmt.Sprintf("%.0f", b.DGEMMGFLOPS), mark})
			}
			if err := a.table(rows); err != nil {
				return err
			}
			fmt.Fprintln(a.out)
			return a.table(r.Torch.rows())
		},
	}
}

// gflops measures products of 1024 x 1024 matrices: the best of three.
func gflops(b linalg.BLAS) (single, double float64) {
	const n = 1024
	r := rand.New(rand.NewPCG(1, 2))
	x64, c64 := make([]float64, n*n), make([]float64, n*n)
	x32, c32 := make([]float32, n*n), make([]float32, n*n)
	for i := range x64 {
		x64[i] = r.Float64() - 0.5
		x32[i] = float32(x64[i])
	}
	best := func(f func()) float64 {
		fastest := time.Duration(1 << 62)
		for range 3 {
			start := time.Now()
			f()
			fastest = min(fastest, time.Since(start))
		}
		return 2 * n * n * n / fastest.Seconds() / 1e9
	}
	single = best(func() { b.SGEMM(false, false, n, n, n, 1, x32, n, x32, n, 0, c32, n) })
	double = best(func() { b.DGEMM(false, false, n, n, n, 1, x64, n, x64, n, 0, c64, n) })
	return single, double
}
