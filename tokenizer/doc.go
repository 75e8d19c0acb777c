// Package tokenizer reads, writes and runs the tokenizers of language models:
// Hugging Face tokenizer.json (BPE and Unigram), SentencePiece .model, tiktoken rank
// files and tekken.json.
//
// What a file says is a [Definition], which can be edited and written again; [New]
// compiles it into a [Tokenizer], which is safe for concurrent use; a [Config] is what
// stands beside the tokenizer in a model folder. Ids, offsets and texts are those of
// tokenizers 0.23 and sentencepiece 0.2, ties and odd corners included; where
// a file asks for something that this package does not do, reading it is an error.
//
//	tok, err := tokenizer.Open("Meta-Llama-3-8B") // a model folder, or a tokenizer file
//	if err != nil {
//		return err
//	}
//	ids := tok.EncodeSpecial("Привет, мир!") // with <|begin_of_text|>
//	fmt.Println(tok.Decode(ids))
//
// Known differences from HF tokenizers, all on purpose: special tokens that a normalizer
// respells are skipped by DecodeSkip; offsets stay right behind characters that a
// model without unknown token leaves out.
package tokenizer
