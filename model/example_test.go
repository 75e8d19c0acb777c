package model_test

import (
	"fmt"

	"lep/model"
	"lep/tensor"
)

// zeros is a Source whose weights are all zero: whatever it reads, it finds every token
// equally likely.
type zeros struct{ shapes map[string][]int }

func (z zeros) Tensor(name string) (tensor.View, error) {
	shape, ok := z.shapes[name]
	if !ok {
		return tensor.View{}, fmt.Errorf("tensor %q: not in the model", name)
	}
	n := 4
	for _, d := range shape {
		n *= d
	}
	return tensor.View{Name: name, DType: tensor.F32, Shape: shape, Data: make([]byte, n)}, nil
}

func Example() {
	cfg, err := model.ParseConfig([]byte(`{"model_type": "llama", "vocab_size": 16, "hidden_size": 8,
		"intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	src := zeros{map[string][]int{}}
	for _, p := range cfg.Parameters() {
		src.shapes[p.Name] = p.Shape
	}
	m, err := model.New(cfg, src, model.Options{Trainable: model.TrainEmbeddings})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	batch := &model.Batch{B: 1, T: 4, InputIDs: []int32{3, 1, 4, 1}}
	sum, scored, err := m.Backward(batch, 1/float64(batch.Scored()), nil)
	fmt.Printf("loss %.4f = ln 16 over %d tokens, %v\n", sum/float64(scored), scored, err)
	for _, p := range m.Trained() {
		fmt.Println(p.Name, p.Shape)
	}
	// Output:
	// loss 2.7726 = ln 16 over 3 tokens, <nil>
	// model.embed_tokens.weight [16 8]
	// lm_head.weight [16 8]
}
