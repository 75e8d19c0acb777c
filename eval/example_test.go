package eval_test

import (
	"fmt"
	"os"
	"path/filepath"

	"lep/chat"
	"lep/eval"
)

func ExampleReadTask() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{
		"questions.jsonl": `{"country": "Италия", "city": "Рим"}`,
		"capitals.yaml":   "task: capitals\ndataset: [questions.jsonl]\nprompt: \"Столица страны {{ country }}?\"\nanswer: \"{{ city }}\"\nmetrics: [em]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			panic(err)
		}
	}
	task, err := eval.ReadTask(filepath.Join(dir, "capitals.yaml"))
	if err != nil {
		panic(err)
	}
	fmt.Println(task.Name, task.Method, task.Metrics)
	// Output: capitals generate [em]
}

func ExampleRenderer() {
	r := &eval.Renderer{} // plain text, as base models are asked
	prompt, err := r.Render([]chat.Message{{Role: "user", Content: "2 + 2?"}, {Role: "assistant", Content: "Ответ:"}})
	if err != nil {
		panic(err)
	}
	fmt.Println(prompt)
	// Output:
	// Query: 2 + 2?
	//
	// Response: Ответ:
}

func ExampleMcNemar() {
	fmt.Printf("%.4f\n", eval.McNemar(1, 6)) // one model alone has 1 right, the other 6
	// Output: 0.1250
}
