package infer_test

import (
	"context"
	"fmt"
	"math"

	"lep/infer"
	"lep/model"
	"lep/tensor"
)

// zeros is a model.Source of zeros.
type zeros struct{ cfg *model.Config }

func (z zeros) Tensor(name string) (tensor.View, error) {
	for _, p := range z.cfg.Parameters() {
		if p.Name == name {
			return tensor.View{Name: name, DType: tensor.F32, Shape: p.Shape, Data: make([]byte, 4*p.Elements())}, nil
		}
	}
	return tensor.View{}, fmt.Errorf("tensor %q: not in the model", name)
}

func Example() {
	cfg, err := model.ParseConfig([]byte(`{"model_type": "llama", "vocab_size": 16, "hidden_size": 8,
		"intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := model.New(cfg, zeros{cfg}, model.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	e := infer.New(m, nil, infer.Generation{EOS: []int32{0}}, infer.DefaultOptions())
	results, err := e.Generate(context.Background(), []infer.Request{{IDs: []int32{3, 1, 4}, MaxNewTokens: 5}})
	fmt.Println(results[0].IDs, results[0].Finish, err)
	scores, err := e.Score(context.Background(), []infer.Sequence{{IDs: []int32{3, 1, 4}}})
	fmt.Printf("%.3f nats a token = ln 16 = %.3f, %v\n", scores[0].NLL/float64(scores[0].Tokens), math.Log(16), err)
	// Output:
	// [0] stop <nil>
	// 2.773 nats a token = ln 16 = 2.773, <nil>
}
