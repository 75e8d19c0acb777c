// Package chat turns conversations into the text and tokens that a model was
// trained on, and says which of the tokens are its own words.
//
// [ReadRow] reads one row of a data file in any of the usual layouts, [Parse]
// reads a chat template, [Template.Render] writes messages by it, and
// [Template.Encode] gives ids and labels for training:
//
//	t, err := chat.Parse(config.ChatTemplate)
//	row, err := chat.ReadRow(line, "train.jsonl:12")
//	text, err := t.Render(chat.Options{Messages: row.Messages, AddGenerationPrompt: true})
//
// Rendering equals transformers' apply_chat_template byte for byte; the language
// of templates is in lep/chat/jinja.
package chat
