package tokenizer

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// EncodeOptions says how to encode a text.
type EncodeOptions struct {
	AddSpecial   bool // put the post-processor's special tokens around the ids
	PlainSpecial bool // added tokens that are special are plain text; others are still recognised
	Offsets      bool // fill Encoding.Tokens and Encoding.Offsets
}

// Encoding is an encoded text. Tokens and Offsets are nil unless asked for.
type Encoding struct {
	IDs []int32
	// Tokens are the spellings of the pieces; for an added token and a Unigram
	// unknown, the text it covers.
	Tokens []string
	// Offsets are where each token lies in the text: [start, end) in Unicode code
	// points, a byte that is no UTF-8 being one. Special tokens that were put around the
	// text have [0, 0].
	Offsets [][2]int
}

// worker is what encoding one text needs; it is kept for the next one.
type worker struct {
	ids     []int32
	tokens  []token
	parts   []part
	inner   []part
	pieces  []normalized
	next    []normalized
	names   []string
	spans   []span
	offsets bool
	cache   wordCache
	key     []byte
	batch   [16]batchWord
	seen    uint32 // keeps the reads of touch from being optimised away
}

func (t *Tokenizer) worker() *worker {
	t.idle.Lock()
	defer t.idle.Unlock()
	if n := len(t.idle.workers); n > 0 {
		w := t.idle.workers[n-1]
		t.idle.workers = t.idle.workers[:n-1]
		return w
	}
	return &worker{}
}

func (t *Tokenizer) release(w *worker) {
	t.idle.Lock()
	defer t.idle.Unlock()
	if len(t.idle.workers) < runtime.GOMAXPROCS(0) { // more cannot run at once; each has a cache
		t.idle.workers = append(t.idle.workers, w)
	}
}

// Encode returns the ids of a text, without the special tokens that a model
// expects around it. Added tokens in the text are recognised, as HF does; a
// tokenizer read from a SentencePiece model takes them for text, as SentencePiece does.
func (t *Tokenizer) Encode(text string) []int32 {
	return t.AppendEncode(nil, text)
}

// AppendEncode is Encode, appending to dst.
func (t *Tokenizer) AppendEncode(dst []int32, text string) []int32 {
	if t.native != nil {
		return t.native.appendIDs(dst, text)
	}
	w := t.worker()
	w.ids, w.offsets = dst, false
	t.encode(w, text, false)
	dst, w.ids = w.ids, nil
	t.release(w)
	return dst
}

// EncodeSpecial is Encode with the post-processor's special tokens around the ids
// (add_special_tokens=True).
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	ids := append([]int32(nil), t.post.prefix...)
	return append(t.AppendEncode(ids, text), t.post.suffix...)
}

// EncodeOptions encodes a text as o says.
func (t *Tokenizer) EncodeOptions(text string, o EncodeOptions) Encoding {
	w := t.worker()
	defer t.release(w)
	w.ids, w.names, w.spans, w.offsets = nil, nil, nil, o.Offsets
	switch {
	case t.native == nil:
		t.encode(w, text, o.PlainSpecial)
	case o.Offsets:
		t.encodeNative(w, text)
	default:
		w.ids = t.native.appendIDs(nil, text)
	}
	e := Encoding{IDs: w.ids}
	w.ids = nil
	if o.Offsets {
		e.Tokens, e.Offsets = w.names, codePoints(text, w.spans)
		w.names = nil
		t.post.trimOffsets(e.Tokens, e.Offsets)
	}
	if o.AddSpecial {
		t.addSpecial(&e, o.Offsets)
	}
	return e
}

func (t *Tokenizer) encodeNative(w *worker, text string) {
	w.tokens, w.names = t.native.appendTokens(w.tokens[:0], nil, text)
	for _, k := range w.tokens {
		w.ids = append(w.ids, k.id)
		w.spans = append(w.spans, span{k.start, k.end})
	}
}

func (t *Tokenizer) addSpecial(e *Encoding, offsets bool) {
	before, after := t.post.prefix, t.post.suffix
	ids := make([]int32, 0, len(before)+len(e.IDs)+len(after))
	e.IDs = append(append(append(ids, before...), e.IDs...), after...)
	if !offsets {
		return
	}
	var names []string
	for _, id := range before {
		names = append(names, t.Token(id))
	}
	names = append(names, e.Tokens...)
	for _, id := range after {
		names = append(names, t.Token(id))
	}
	spans := append(make([][2]int, len(before)), e.Offsets...)
	e.Tokens, e.Offsets = names, append(spans, make([][2]int, len(after))...)
}

// EncodeAll encodes texts on several threads; ids[i] belongs to texts[i]. If ctx
// ends before the work does, the rest of ids is nil and ctx.Err says why.
func (t *Tokenizer) EncodeAll(ctx context.Context, texts []string, threads int) [][]int32 {
	ids := make([][]int32, len(texts))
	var next atomic.Int64
	var all sync.WaitGroup
	for range max(1, min(threads, len(texts))) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(texts) {
					return
				}
				ids[i] = t.Encode(texts[i])
			}
		})
	}
	all.Wait()
	return ids
}

// ModelEncode is the model alone on a word in its own alphabet: no normalizer, no
// pre-tokenizer, no added tokens. It appends to dst.
func (t *Tokenizer) ModelEncode(dst []int32, s string) []int32 {
	if s == "" {
		return dst
	}
	w := t.worker()
	w.tokens = t.model.tokenize(w.tokens[:0], s, false)
	for i := range w.tokens {
		dst = append(dst, w.tokens[i].id)
	}
	t.release(w)
	return dst
}

// PreTokenize returns the pieces of a text after normalizer and pre-tokenizer, in the
// model's alphabet; added tokens count as text.
func (t *Tokenizer) PreTokenize(text string) []string {
	w := t.worker()
	defer t.release(w)
	n := newNormalized(text, 0, t.trackFirst)
	if t.normalizer != nil {
		t.normalizer.normalize(n)
	}
	var out []string
	for _, p := range t.split(w, n) {
		if t.feedBytes {
			out = append(out, string(appendLetters(nil, p.text)))
		} else {
			out = append(out, p.text)
		}
	}
	return out
}

// encode appends the ids of text to w.ids and, with w.offsets, names and spans.
func (t *Tokenizer) encode(w *worker, text string, plainSpecial bool) {
	w.parts = t.raw.cut(w.parts[:0], text, plainSpecial)
	for _, p := range w.parts {
		if p.token >= 0 {
			w.add(t.raw.tokens[p.token].ID, text[p.start:p.end], span{int32(p.start), int32(p.end)})
			continue
		}
		if t.words != nil && t.beforeWords == nil && t.afterNormalizer.starts == 0 && !w.offsets {
			t.encodeWords(w, text[p.start:p.end], p.start)
			continue
		}
		track := w.offsets || t.trackFirst && p.start == 0
		n := newNormalized(text[p.start:p.end], p.start, track)
		if t.normalizer != nil {
			t.normalizer.normalize(n)
			n.anchor()
		}
		if t.afterNormalizer.starts == 0 {
			t.encodeSection(w, n)
			continue
		}
		w.inner = t.afterNormalizer.cut(w.inner[:0], n.text, plainSpecial)
		for _, q := range w.inner {
			if q.token >= 0 {
				w.add(t.afterNormalizer.tokens[q.token].ID, n.text[q.start:q.end], n.source(q.start, q.end))
				continue
			}
			section := n.slice(q.start, q.end)
			t.encodeSection(w, &section)
		}
	}
}

func (w *worker) add(id int32, name string, s span) {
	w.ids = append(w.ids, id)
	if w.offsets {
		w.names = append(w.names, name)
		w.spans = append(w.spans, s)
	}
}

// encodeSection encodes what lies between two added tokens.
func (t *Tokenizer) encodeSection(w *worker, n *normalized) {
	switch {
	case n.text == "":
		return
	case t.words != nil && !w.offsets:
		t.encodeWords(w, n.text, int(n.origin))
		return
	}
	for _, p := range t.split(w, n) {
		if !w.offsets {
			t.encodeWord(w, p.text)
			continue
		}
		w.tokens = t.model.tokenize(w.tokens[:0], p.text, t.feedBytes)
		for _, k := range w.tokens {
			w.ids = append(w.ids, k.id)
			w.names = append(w.names, t.nameOf(k, p.text))
			w.spans = append(w.spans, p.source(int(k.start), int(k.end)))
		}
	}
}

// nameOf spells a token as HF does: a Unigram unknown by the text it covers.
func (t *Tokenizer) nameOf(k token, piece string) string {
	if t.def.Model.Type == Unigram && k.id == t.def.Model.UnkID {
		return piece[k.start:k.end]
	}
	return t.tokens[k.id]
}

// split runs the pre-tokenizers; the result is valid until the next call.
func (t *Tokenizer) split(w *worker, n *normalized) []normalized {
	w.pieces = append(w.pieces[:0], *n)
	for _, stage := range t.pre {
		w.next = w.next[:0]
		for i := range w.pieces {
			w.next = stage.split(w.next, &w.pieces[i])
		}
		w.pieces, w.next = w.next, w.pieces
	}
	return w.pieces
}

// codePoints turns spans of bytes of text into offsets in code points.
func codePoints(text string, spans []span) [][2]int {
	out := make([][2]int, len(spans))
	index := make([]int32, len(text)+1) // code points before each byte
	count := int32(0)
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		for k := range size {
			index[i+k] = count
		}
		i += size
		count++
	}
	index[len(text)] = count
	for i, s := range spans {
		out[i] = [2]int{int(index[s.start]), int(index[s.end])}
	}
	return out
}
