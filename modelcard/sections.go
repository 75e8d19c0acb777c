package modelcard

import (
	"fmt"
	"strings"
)

// Table writes rows as a table in Markdown; the first is the head.
func Table(rows ...[]string) string {
	var b strings.Builder
	clean := strings.NewReplacer("|", `\|`, "\n", " ")
	for i, row := range rows {
		for _, cell := range row {
			b.WriteString("| " + clean.Replace(cell) + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

// Ticked writes names as code, for a list in a sentence or a cell.
func Ticked(names ...string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = "`" + strings.ReplaceAll(n, "`", "'") + "`"
	}
	return strings.Join(list, ", ")
}

// Titles of sections that several writers of cards have.
const (
	UsageTitle        = "How to use"
	ReproductionTitle = "Reproduction"
	EvaluationTitle   = "Evaluation"
)

// Usage says how a model is run: name is its hub id, or the folder until it has one.
func Usage(name string, chat bool) Section {
	ask := `messages = [{"role": "user", "content": "Привет!"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)`
	talk := "lep chat --model " + name
	if !chat {
		ask = `inputs = tokenizer("Жили-были", return_tensors="pt")`
		talk = "lep generate --model " + name + " --prompt 'Жили-были'"
	}
	file := name[strings.LastIndexByte(name, '/')+1:] + ".gguf"
	return Section{UsageTitle, fmt.Sprintf("With transformers:\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"+
		"tokenizer = AutoTokenizer.from_pretrained(%q)\nmodel = AutoModelForCausalLM.from_pretrained(%q, dtype=\"auto\", device_map=\"auto\")\n%s\n"+
		"output = model.generate(**inputs.to(model.device), max_new_tokens=200)\n"+
		"print(tokenizer.decode(output[0][inputs[\"input_ids\"].shape[1]:], skip_special_tokens=True))\n```\n\n"+
		"With vLLM, llama.cpp or lep:\n\n```sh\nvllm serve %s\nlep export gguf --model %s --out %s && llama-server -m %s --jinja\n%s\n```", name, name, ask, name, name, file, file, talk)}
}

// AdapterUsage says how a LoRA adapter is run, and made into a whole model.
func AdapterUsage(name, base string) Section {
	return Section{UsageTitle, fmt.Sprintf("With PEFT:\n\n```python\nfrom peft import AutoPeftModelForCausalLM\n\n"+
		"model = AutoPeftModelForCausalLM.from_pretrained(%q, dtype=\"auto\", device_map=\"auto\")\n```\n\n"+
		"As a whole model, for vLLM and llama.cpp:\n\n```sh\nlep merge --model %s --adapter %s --out merged\n```", name, base, name)}
}

// Reproduction is the command that makes the folder again, with what to know of it.
func Reproduction(words []string, note string) Section {
	return Section{ReproductionTitle, fmt.Sprintf("```sh\n%s\n```\n\n%s", ShellLine(words), note)}
}

// ShellLine writes the words of a command so that a shell reads them as they are.
func ShellLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; w == "" || strings.ContainsAny(w, " \t\n'\"\\$&|;<>()*?[]#~`!{}") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
