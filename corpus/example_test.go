package corpus_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"lep/corpus"
)

func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "corpus")
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "greetings.jsonl")
	os.WriteFile(file, []byte(`{"text": "Привет, мир"}
{"txt": "wrong field"}
{"text": "Hello, world"}
`), 0o644)

	opts := corpus.DefaultOptions()
	opts.MaxBadRows = 5
	r, err := corpus.Open([]string{file}, opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	for doc, err := range r.Documents(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(doc.Line, doc.Text)
	}
	fmt.Println(r.Bad().Count, "bad row:", r.Bad().First[0].Err)
	// Output:
	// 1 Привет, мир
	// 3 Hello, world
	// 1 bad row: no field "text" (fields: txt)
}
