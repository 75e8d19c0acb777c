package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml"

	"lep/internal/atomic"
	"lep/tokenizer"
	"lep/vocab/scenario"
)

// rankFile says where a tokenizer keeps its ranks in tiktoken's format, relative to its folder,
// "" if it has none.
func rankFile(path string) string {
	isRanks := func(path string) bool {
		f, err := os.Open(path)
		if err != nil {
			return false
		}
		defer f.Close()
		var head [3]byte // "IQ== 0" is the first line of Llama-3's, "\n" a tag of SentencePiece's
		n, _ := f.Read(head[:])
		return n == len(head) && !bytes.ContainsAny(head[:], "\x00\x0a{")
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if !info.IsDir() {
		if filepath.Ext(path) != ".json" && isRanks(path) {
			return "tokenizer.tiktoken"
		}
		return ""
	}
	for _, name := range []string{"tokenizer.model", filepath.Join("original", "tokenizer.model"), "tokenizer.tiktoken"} {
		if isRanks(filepath.Join(path, name)) {
			return name
		}
	}
	return ""
}

// writeVocabulary writes the files of a vocabulary folder: those of Hugging Face, the
// SentencePiece model if the definition has one, ranks if the base had them (ranks names the
// file), and lep_vocab.json.
func writeVocabulary(dir string, d *tokenizer.Definition, c *tokenizer.Config, ranks string, side []byte) ([]string, error) {
	files := map[string][]byte{scenario.FileName: side}
	var notes []string
	if d.SentencePiece != nil {
		native, err := withAddedPieces(d).SentencePieceModel()
		if err != nil {
			notes = append(notes, fmt.Sprintf("tokenizer.model is not written: %v", err))
		} else {
			files["tokenizer.model"] = native
		}
		d = d.Clone()
		d.SentencePiece = nil
	}
	if ranks != "" && files[ranks] == nil {
		data, err := d.Tiktoken()
		if err != nil {
			notes = append(notes, fmt.Sprintf("the base's %s is not written: %v", ranks, err))
		} else {
			files[ranks] = data
		}
	}
	more, err := tokenizer.WriteFolder(dir, d, c)
	if err != nil {
		return nil, err
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, err
		}
		if err := atomic.WriteFile(path, data, true); err != nil {
			return nil, err
		}
	}
	return append(notes, more...), nil
}

// withAddedPieces gives the added tokens that follow the table a piece each, so that a
// SentencePiece model has as many pieces as the vocabulary has tokens.
func withAddedPieces(d *tokenizer.Definition) *tokenizer.Definition {
	d = d.Clone()
	have := map[int32]bool{}
	for _, p := range d.Model.Pieces {
		have[p.ID] = true
	}
	added := slices.Clone(d.AddedTokens)
	slices.SortFunc(added, func(a, b tokenizer.AddedToken) int { return cmp.Compare(a.ID, b.ID) })
	for _, a := range added {
		if have[a.ID] {
			continue
		}
		kind := tokenizer.UserDefined
		if a.Special {
			kind = tokenizer.Control
		}
		d.Model.Pieces = append(d.Model.Pieces, tokenizer.Piece{ID: a.ID, Text: a.Content, Kind: kind})
	}
	return d
}

// trainSummary is what vocab train prints with --json and keeps in lep_vocab.json.
type trainSummary struct {
	Out         string                 `json:"out"`
	Algorithm   string                 `json:"algorithm"`
	Style       string                 `json:"style"`
	Size        int                    `json:"size"`
	Texts       int64                  `json:"texts"`
	Bytes       int64                  `json:"bytes"`
	Words       int                    `json:"distinct_words"`
	Skipped     int64                  `json:"skipped"`
	BadRows     int                    `json:"bad_rows"`
	Shared      int                    `json:"shared_with_model"`
	Unreachable []scenario.Unreachable `json:"unreachable"`
	Notes       []string               `json:"notes"`
}

func (a *app) trainVocabulary(ctx context.Context, t *trainFlags) error {
	texts, err := t.corpus.open(ctx, a, "train: read")
	if err != nil {
		return err
	}
	trained, err := t.train(ctx, a, texts)
	if err != nil {
		return err
	}
	sum := trainSummary{
		Out: t.out, Algorithm: t.algorithm, Style: t.style, Texts: trained.Texts, Bytes: trained.Bytes,
		Words: trained.Words, Skipped: trained.Skipped, BadRows: a.noteBad(texts),
	}
	r, base, config, err := t.result(trained.Definition)
	if err != nil {
		return err
	}
	if r.Unreachable, err = r.FindUnreachable(); err != nil {
		return err
	}
	sum.Size, sum.Shared, sum.Unreachable = len(r.OldIDs), r.Kept, notNil(r.Unreachable)
	options, err := t.record(a.seed, sum)
	if err != nil {
		return err
	}
	side, err := r.JSON(base, options, nil)
	if err != nil {
		return err
	}
	err = a.writeDir(t.out, func(dir string) (err error) {
		sum.Notes, err = writeVocabulary(dir, r.Definition, config, t.ranks(), side)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range sum.Notes {
		a.notef("note: %s", n)
	}
	sum.Notes = notNil(sum.Notes)
	if a.json {
		return a.printJSON(sum)
	}
	rows := [][]string{
		{"tokens", thousands(int64(sum.Size))},
		{"texts", fmt.Sprintf("%s (%s bytes, %s different words)", thousands(sum.Texts), thousands(sum.Bytes), thousands(int64(sum.Words)))},
		{"left out as too long", thousands(sum.Skipped)},
		{"bad rows left out", thousands(int64(sum.BadRows))},
		{"not reached alone", thousands(int64(len(sum.Unreachable))) + reasons(r.Unreachable)},
	}
	if t.model != nil {
		rows = append(rows, []string{"shared with " + t.like, thousands(int64(sum.Shared))})
	}
	return a.table(append(rows, []string{"written to", sum.Out}))
}

// result turns the trained definition into what is written.
func (t *trainFlags) result(d *tokenizer.Definition) (r *scenario.Result, base *tokenizer.Definition, c *tokenizer.Config, err error) {
	if d.SentencePiece != nil && (len(d.SentencePiece.Charsmap) > 0 || d.SentencePiece.RemoveExtraWhitespaces) {
		hf, err := d.HF(tokenizer.ModernLayout)
		if err != nil {
			return nil, nil, nil, err
		}
		hf.SentencePiece = d.SentencePiece
		d = hf
	}
	if t.style == styleSentencePiece {
		r = scenario.New(d, nil)
	} else {
		r = scenario.New(d, t.special)
	}
	if t.model != nil {
		if r, err = scenario.Replace(t.model.def, r.Definition); err != nil {
			return nil, nil, nil, err
		}
		r.Scenario = scenario.Training
		return r, t.model.def, r.Config(t.model.config), nil
	}
	if t.bos != "" {
		r.Definition.PostProcessor = beginWith(r.Definition, t.bos)
	}
	compiled, err := tokenizer.New(r.Definition)
	if err != nil {
		return nil, nil, nil, err
	}
	c = compiled.Config().Clone()
	c.BOS, c.EOS, c.PAD = t.bos, t.eos, t.pad
	if sp := d.SentencePiece; sp != nil {
		c.UNK = sp.UnkPiece
		for _, role := range []struct {
			id    int
			piece string
			dst   *string
		}{{t.sp.BOSID, sp.BOSPiece, &c.BOS}, {t.sp.EOSID, sp.EOSPiece, &c.EOS}, {t.sp.PADID, sp.PADPiece, &c.PAD}} {
			if role.id >= 0 {
				*role.dst = role.piece
			}
		}
	}
	return r, &tokenizer.Definition{}, c, nil
}

// beginWith is the post-processor that puts a special token in front of a text.
func beginWith(d *tokenizer.Definition, token string) json.RawMessage {
	id := int32(0)
	for _, a := range d.AddedTokens {
		if a.Content == token {
			id = a.ID
		}
	}
	name, _ := json.Marshal(token) // a string always marshals
	item := fmt.Sprintf(`{"SpecialToken":{"id":%s,"type_id":%%d}},{"Sequence":{"id":"%%s","type_id":%%d}}`, name)
	first, second := fmt.Sprintf(item, 0, "A", 0), fmt.Sprintf(item, 1, "B", 1)
	return fmt.Appendf(nil, `{"type":"TemplateProcessing","single":[%s],"pair":[%s,%s],"special_tokens":{%s:{"id":%s,"ids":[%d],"tokens":[%s]}}}`,
		first, first, second, name, name, id, name)
}

// ranks names the file for tiktoken's format.
func (t *trainFlags) ranks() string {
	if t.style != styleTiktoken {
		return ""
	}
	if t.model != nil {
		if name := rankFile(t.model.path); name != "" {
			return name
		}
	}
	return "tokenizer.tiktoken"
}

// record is the whole recipe of a training, for lep_vocab.json.
func (t *trainFlags) record(seed int64, sum trainSummary) (any, error) {
	var options any = t.bpe
	if t.style == styleSentencePiece {
		options = t.sp
	}
	settings, err := asJSON(options)
	if err != nil {
		return nil, err
	}
	texts, err := asJSON(t.corpus.opts)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"lep": Version, "algorithm": t.algorithm, "style": t.style, "like": t.like, "corpus": t.corpus.files,
		"seed": seed, "trainer": settings, "reading": texts, "texts": sum.Texts, "bytes": sum.Bytes, "distinct_words": sum.Words,
		"skipped": sum.Skipped, "bad_rows": sum.BadRows,
	}, nil
}

// asJSON spells options with their YAML keys.
func asJSON(options any) (json.RawMessage, error) {
	raw, err := yaml.MarshalWithOptions(options, yaml.JSON())
	return bytes.TrimSpace(raw), err
}
