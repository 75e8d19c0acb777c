package trainer

import (
	"strings"
	"testing"

	"lep/tokenizer"
)

// FuzzTrain trains on any bytes: no panic; what comes of it opens, and byte-level
// BPE gives the text back.
func FuzzTrain(f *testing.F) {
	f.Add("мир миру, 12 мира", uint16(300), uint8(0))
	f.Add("aaaa aaa\n\naa\r\n", uint16(270), uint8(1))
	f.Add("\xff\xfe\x00 ▁▁ ▅ <s>\t", uint16(400), uint8(2))
	f.Add("日本語テキスト１２３", uint16(280), uint8(7))
	f.Fuzz(func(t *testing.T, text string, size uint16, flags uint8) {
		if len(text) > 1<<12 {
			return
		}
		bpe := BPEOptions{Size: 256 + int(size)%512, Pattern: Patterns()[flags%4], AllowSmaller: true, Threads: 2}
		if r, err := TrainBPE(t.Context(), of(text), bpe); err == nil {
			tok, err := tokenizer.New(r.Definition)
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.Decode(tok.Encode(text)); got != strings.ToValidUTF8(text, "\uFFFD") && strings.ToValidUTF8(text, "") == text {
				t.Fatalf("%q came back as %q", text, got)
			}
		}
		opts := DefaultSentencePieceOptions(tokenizer.BPE)
		if flags&1 != 0 {
			opts.ModelType = tokenizer.Unigram
		}
		opts.NormalizationRuleName, opts.AllowSmaller, opts.VocabSize, opts.Threads = "identity", true, 3+int(size)%1024, 2
		opts.SplitByWhitespace, opts.TreatWhitespaceAsSuffix = flags&2 == 0, flags&4 != 0
		opts.ByteFallback, opts.AllowWhitespaceOnlyPieces = flags&8 != 0, flags&16 != 0
		opts.SplitDigits, opts.RemoveExtraWhitespaces = flags&32 != 0, flags&64 == 0
		if r, err := TrainSentencePiece(t.Context(), of(text), opts); err == nil {
			if _, err := tokenizer.New(r.Definition); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Definition.SentencePieceModel(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
