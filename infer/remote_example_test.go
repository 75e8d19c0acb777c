package infer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"lep/infer"
)

func ExampleDial() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			fmt.Fprint(w, `{"data": [{"id": "tiny", "max_model_len": 512}]}`)
		case "/v1/completions":
			fmt.Fprint(w, `{"choices": [{"text": " four", "finish_reason": "stop"}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	ctx := context.Background()
	remote, err := infer.Dial(ctx, infer.RemoteOptions{URL: server.URL})
	if err != nil {
		panic(err)
	}
	can := remote.Capabilities()
	fmt.Println(can.Model, can.Context, can.Completions, can.Chat)
	results, err := remote.Generate(ctx, []infer.Request{{Text: "one two three", MaxNewTokens: 1}})
	if err != nil {
		panic(err)
	}
	fmt.Println(results[0].Text)
	// Output:
	// tiny 512 true false
	//  four
}
