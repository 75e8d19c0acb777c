package export

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	"lep/checkpoint"
	"lep/gguf"
	"lep/internal/hint"
	"lep/model"
	"lep/tensor"
)

// modules are ggml's names of the linears.
var modules = map[string]string{
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

// tensorName returns ggml's name of a parameter.
func (a architecture) tensorName(name string) (string, error) {
	switch name {
	case model.EmbedTokens:
		return "token_embd.weight", nil
	case model.Norm:
		return "output_norm.weight", nil
	case model.LMHead:
		return "output.weight", nil
	}
	var layer int
	rest := strings.TrimPrefix(name, "model.layers.")
	if n, err := fmt.Sscanf(rest, "%d.", &layer); n != 1 || err != nil {
		return "", fmt.Errorf("tensor %q has no name in GGUF", name)
	}
	_, rest, _ = strings.Cut(rest, ".")
	dot := strings.LastIndexByte(rest, '.')
	path, kind := rest[:dot], rest[dot+1:]
	for _, table := range []map[string]string{modules, a.norms} {
		if to, ok := table[path]; ok {
			return fmt.Sprintf("blk.%d.%s.%s", layer, to, kind), nil
		}
	}
	return "", fmt.Errorf("tensor %q has no name in GGUF", name)
}

// tensors announces every parameter, and the factors of llama3's positions.
func (e *exporter) tensors(ctx context.Context) error {
	if factors := e.cfg.RopeFactors(); factors != nil {
		data := gguf.AppendRow(nil, factors, gguf.F32)
		err := e.w.Add("rope_freqs.weight", gguf.F32, []int{len(factors)}, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
		e.out.Tensors++
	}
	for _, p := range e.cfg.Parameters() {
		if err := e.tensor(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// tensor announces one parameter.
func (e *exporter) tensor(ctx context.Context, p model.Parameter) error {
	v, err := e.files.Tensor(p.Name)
	if err != nil {
		return err
	}
	if err := p.Check(v); err != nil {
		return err
	}
	name, err := e.arch.tensorName(p.Name)
	if err != nil {
		return err
	}
	s := &stream{files: e.files, v: v, typ: gguf.F32, cols: v.Cols(), threads: e.opts.Threads}
	if len(p.Shape) == 1 {
		s.cols = p.Shape[0]
		if strings.HasSuffix(p.Name, "norm.weight") {
			s.add = e.arch.normAdd
		}
	} else if s.typ = e.typ; s.typ == gguf.Q8_0 && s.cols%32 != 0 {
		s.typ = gguf.F16
		e.notef("%s has rows of %d numbers, not a multiple of 32: stored as f16", name, s.cols)
	}
	if e.arch.permute && (strings.Contains(p.Name, ".q_proj.") || strings.Contains(p.Name, ".k_proj.")) {
		s.headDim = e.cfg.HeadDim
		if len(p.Shape) == 1 { // a bias is permuted as the rows of its matrix
			s.cols = 1
		}
	}
	e.out.Tensors++
	return e.w.Add(name, s.typ, p.Shape, func(w io.Writer) error { return s.write(ctx, w) })
}

// stream converts a tensor block by block.
type stream struct {
	files   *checkpoint.Model
	v       tensor.View
	typ     gguf.Type
	cols    int
	add     float32 // to every number
	headDim int     // permute the rows of each head; 0: do not
	threads int
}

// blockBytes is about how much of the output is made at a time.
const blockBytes = 8 << 20

func (s *stream) write(ctx context.Context, w io.Writer) error {
	rows := len(s.v.Data) / s.v.DType.Size() / s.cols
	unit := max(1, s.headDim) // blocks are of whole heads, so that a block is made of its own rows
	step := max(unit, blockBytes/(4*s.cols)/unit*unit)
	for from := 0; from < rows; from += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+step, rows)
		parts, err := s.convert(from, to)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
		s.release(from, to)
	}
	return nil
}

// rowSize is the bytes of a row of the source.
func (s *stream) rowSize() int { return s.cols * s.v.DType.Size() }

func (s *stream) release(from, to int) {
	part := s.v
	part.Data = s.v.Data[from*s.rowSize() : to*s.rowSize()]
	s.files.Release(part)
}

// convert makes the rows from to to-1 of the output, in parts by several threads.
func (s *stream) convert(from, to int) ([][]byte, error) {
	n := max(1, min(s.threads, to-from))
	parts, errs := make([][]byte, n), make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			parts[i], errs[i] = s.part(from+(to-from)*i/n, from+(to-from)*(i+1)/n)
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// sourceRow returns the row of the tensor that row i of the output is. llama.cpp turns neighbouring
// numbers of a head together where transformers turns number j and j+Hd/2:
//
//	row 2j+k of a head is row k·Hd/2+j, k = 0, 1
func (s *stream) sourceRow(i int) int {
	if s.headDim == 0 {
		return i
	}
	head, r := i/s.headDim, i%s.headDim
	return head*s.headDim + r%2*(s.headDim/2) + r/2
}

func (s *stream) part(from, to int) ([]byte, error) {
	size := s.rowSize()
	row := make([]float32, s.cols)
	width, _ := s.typ.RowSize(s.cols)
	out := make([]byte, 0, (to-from)*width)
	copies := s.add == 0 && s.typ.String() == s.v.DType.String() // both name plain types alike
	for i := from; i < to; i++ {
		at := s.sourceRow(i)
		raw := s.v.Data[at*size : (at+1)*size]
		tensor.Decode32(row, raw, s.v.DType)
		for j, x := range row {
			if x-x != 0 {
				return nil, &checkpoint.TensorError{File: s.files.Dir(), Tensor: s.v.Name, What: fmt.Sprintf("row %d, column %d is %v, want finite numbers", at, j, x)}
			}
			if s.typ == gguf.F16 && math.Abs(float64(x)) >= 65520 {
				return nil, hint.Errorf("export as bf16 or q8_0", "%s: tensor %q: row %d, column %d is %g, beyond what f16 holds (65504)", s.files.Dir(), s.v.Name, at, j, x)
			}
			if s.add != 0 { // -0 stays -0
				row[j] = x + s.add
			}
		}
		if copies {
			out = append(out, raw...)
			continue
		}
		out = gguf.AppendRow(out, row, s.typ)
	}
	return out, nil
}
