package chat_test

import (
	"encoding/json"
	"fmt"

	"lep/chat"
)

func ExampleTemplate_Render() {
	t, err := chat.Parse("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}")
	if err != nil {
		fmt.Println(err)
		return
	}
	row, err := chat.ReadRow([]byte(`{"conversations": [{"from": "human", "value": " Сколько будет 2+2? "}]}`), "train.jsonl:1")
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := t.Render(chat.Options{Messages: row.Messages, AddGenerationPrompt: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(out.Text)
	// Output:
	// <|user|>
	// Сколько будет 2+2?<|end|>
	// <|assistant|>
}

func ExampleTemplate_Answers() {
	t, err := chat.Parse("{% for m in messages %}[{{ m.role }}] {{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}")
	if err != nil {
		fmt.Println(err)
		return
	}
	var messages []chat.Message
	if err := json.Unmarshal([]byte(`[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]`), &messages); err != nil {
		fmt.Println(err)
		return
	}
	out, err := t.Answers(chat.Options{Messages: messages}, 0, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range out.Generated {
		fmt.Printf("%q\n", out.Text[a.Start:a.End])
	}
	// Output:
	// " Hello</s>"
}

func ExampleReadRow() {
	_, err := chat.ReadRow([]byte(`{"conversations": [{"from": "robot", "value": "Beep"}]}`), "train.jsonl:12")
	fmt.Println(err)
	// Output:
	// train.jsonl:12: message 1: unknown role "robot", want human, gpt, system or tool
}
