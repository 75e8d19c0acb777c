package propagate

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"lep/internal/golden"
	"lep/linalg"
	"lep/tensor"
	"lep/tokenizer"
	"lep/vocab"
)

// formula is a value of the reference data's weights by formula (README, case R1).
func formula(stream uint64, n int) float64 {
	z := stream + uint64(n+1)*0x9E3779B97F4A7C15
	z ^= z >> 30
	z *= 0xBF58476D1CE4E5B9
	z ^= z >> 27
	z *= 0x94D049BB133111EB
	z ^= z >> 31
	return (float64(z>>40)/(1<<24)*2 - 1) / 32
}

// hubForm opens a SentencePiece model as its tokenizer.json would be.
func hubForm(t *testing.T, name string) *tokenizer.Tokenizer {
	t.Helper()
	d, err := tokenizer.ReadSentencePiece(golden.Read(t, golden.Shared(t, "reference", "lep", "inputs", name)))
	if err != nil {
		t.Fatal(err)
	}
	d.SentencePiece = nil
	tok, err := tokenizer.New(d)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func formulaMatrix(rows, dim int, at func(i, j int) float64) matrix {
	v := tensor.View{DType: tensor.F32, Shape: []int{rows, dim}, Data: make([]byte, rows*dim*4)}
	row := make([]float64, dim)
	for i := range rows {
		for j := range row {
			row[j] = at(i, j)
		}
		tensor.Encode64(v.Row(i), row, tensor.F32)
	}
	return matrix{View: v}
}

// TestRealVocabularies is case R1: Mistral's 32,000 tokens to darulm's 32,000, by the
// authors' rules.
func TestRealVocabularies(t *testing.T) {
	dir := caseDir(t, "R1")
	old, next := hubForm(t, "mistral_7b_v0.1.spm.model.gz"), hubForm(t, "darulm_32000_bpe.spm.model.gz")
	var facts map[string]json.RawMessage
	if err := json.Unmarshal(golden.Read(t, filepath.Join(dir, "facts.json")), &facts); err != nil {
		t.Fatal(err)
	}
	want := expected{t, openFile(t, filepath.Join(dir, "real.safetensors"))}
	conversion, err := vocab.ConvertReference(old, next, vocab.ReferenceOptions{Special: []string{"<unk>", "<s>", "</s>"}})
	if err != nil {
		t.Fatal(err)
	}
	histogram := map[int]int{}
	for id := range conversion.Len() {
		if conversion.How(id) != vocab.ByName {
			histogram[len(conversion.IDs(id))]++
		}
	}
	var wantHistogram map[int]int
	if err := json.Unmarshal(facts["subtokens_histogram"], &wantHistogram); err != nil {
		t.Fatal(err)
	}
	for n, count := range wantHistogram {
		if histogram[n] != count {
			t.Errorf("%d lists of %d subtokens, want %d", histogram[n], n, count)
		}
	}
	if got := len(vocab.SharedReference(old, next)); got != 7561 {
		t.Errorf("%d strings are shared, want 7561", got)
	}
	blas, err := linalg.Open("auto", 1)
	if err != nil {
		t.Fatal(err)
	}
	const dim = 48
	for mod, name := range moduleNames {
		s := uint64(mod)
		at := func(stream uint64, i, j int) float64 { return formula(stream, i*dim+j) }
		f := &fitter{name: name, blas: blas, opts: &Options{Compat: "reference", Method: Conversion},
			ops:    &operators{conversion: conversion, penalty: 1},
			source: formulaMatrix(old.Size(), dim, func(i, j int) float64 { return at(1+s, i, j) }),
			targets: []matrix{formulaMatrix(old.Size(), dim, func(i, j int) float64 {
				return at(1+s, i, j) + 0.25*at(1+s, i, (j+1)%dim) + 0.125*at(3+s, i, j)
			})}}
		donor := formulaMatrix(next.Size(), dim, func(i, j int) float64 { return at(5+s, i, j) })
		compareFormula(t, f, "conversion."+name, donor, facts, want)
		f.opts.Method = Overlap
		for _, id := range want.ints("union." + name + ".shared_old_ids") {
			f.ops.shared = append(f.ops.shared, vocab.Pair{Old: id})
		}
		compareFormula(t, f, "union."+name, donor, facts, want)
	}
}

func compareFormula(t *testing.T, f *fitter, key string, donor matrix, facts map[string]json.RawMessage, want expected) {
	t.Helper()
	fits, err := f.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Rows, Rank int
		Residual   float64 `json:"residual_fro"`
	}
	if err := json.Unmarshal(facts[key], &g); err != nil {
		t.Fatal(err)
	}
	r := fits[0].result
	if r.Rows != g.Rows || r.Rank != g.Rank || math.Abs(float64(r.Residual)-g.Residual) > 1e-6 {
		t.Errorf("%s: %d rows of rank %d, residual %g; want %+v", key, r.Rows, r.Rank, float64(r.Residual), g)
	}
	if d := maxDifference(fits[0].w, want.floats(key+".W")); d > tolW {
		t.Errorf("%s: W differs by %.3g, want at most %g", key, d, tolW)
	}
	p := &projection{blas: f.blas, donor: donor, dtype: tensor.F32, w: fits[0].w, reference: true, donorRows: donor.Rows(), rows: donor.Rows()}
	if d := maxDifference(rowsOf(t, p, want.ints(key+".rows")), want.floats(key+".out")); d > tolOut32 {
		t.Errorf("%s: rows differ by %.3g, want at most %g", key, d, tolOut32)
	}
}
