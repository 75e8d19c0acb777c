package propagate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lep/chat"
	"lep/checkpoint"
	"lep/internal/orderedjson"
	"lep/tensor"
)

// Check is one acceptance check of a result folder. Detail says what was seen; of a
// check that does not apply it says why, and OK is true.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// CheckOptions say what a folder is held against.
type CheckOptions struct {
	Against string   // the model that it was made from; "" for none
	Role    string   // what messages call Against; "" for target
	Engine  Engine   // nil leaves out what needs a model
	Texts   []string // held-out texts for bits per byte
	// Base and Donor are the models whose bits per byte are shown beside the result's, "" for none.
	Base, Donor string
	// ScanLayers reads all weights for numbers that are not finite, not only the embeddings.
	ScanLayers bool
	// LayersMerged says that an adapter was merged into the layers, which then differ
	// from those of Against.
	LayersMerged bool
	// TemplateReplaced says that the chat template is not that of Against, OneStop that
	// one of its stop tokens was kept (as the authors' code does).
	TemplateReplaced, OneStop bool
}

// CheckFolder runs the acceptance checks on a model folder. A check that is not passed is
// no error; an error is a folder that cannot be opened at all.
func CheckFolder(ctx context.Context, dir string, opts CheckOptions) ([]Check, error) {
	m, err := openModel("result", dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	c := &checker{ctx: ctx, m: m, opts: opts}
	if opts.Against != "" {
		if opts.Role == "" {
			opts.Role = "target"
		}
		if c.against, err = openModel(opts.Role, opts.Against); err != nil {
			return nil, err
		}
		defer c.against.Close()
	}
	c.rows()
	c.sizes()
	c.roundTrips()
	c.specials()
	c.template()
	c.stopTokens()
	c.tied()
	c.untouched()
	if opts.ScanLayers {
		c.finiteLayers()
	}
	if opts.Engine != nil {
		c.engine()
	}
	return c.out, ctx.Err()
}

// Passed reports whether all checks are.
func Passed(checks []Check) bool {
	return !slices.ContainsFunc(checks, func(c Check) bool { return !c.OK })
}

type checker struct {
	ctx     context.Context
	m       *model
	against *model // nil for none
	opts    CheckOptions
	out     []Check
}

func (c *checker) add(name string, ok bool, format string, args ...any) {
	c.out = append(c.out, Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
}

// sane bounds the norm of a row by the median: projections of noise blow rows up.
const sane = 100

func (c *checker) rows() {
	for i, e := range c.m.matrices() {
		name := "rows of " + moduleNames[i]
		norms, err := c.norms(e.View)
		if err != nil {
			c.add(name, false, "%v", err)
			continue
		}
		tokens := norms[:min(len(norms), c.m.tok.Size())]
		zero := 0
		for _, n := range tokens {
			if n == 0 {
				zero++
			}
		}
		sorted := slices.Clone(tokens)
		slices.Sort(sorted)
		median, top := sorted[len(sorted)/2], sorted[len(sorted)-1]
		switch {
		case median == 0 || top > sane*median:
			c.add(name, false, "norms: median %.4g, largest %.4g (%q), want at most %d times the median", median, top,
				c.m.tok.Token(int32(slices.Index(tokens, top))), sane)
		case zero*100 > len(tokens):
			c.add(name, false, "%d of %d rows are zero", zero, len(tokens))
		default:
			c.add(name, true, "all finite; norms: median %.4g, largest %.4g; %d zero", median, top, zero)
		}
	}
}

func (c *checker) norms(e tensor.View) ([]float64, error) {
	norms := make([]float64, 0, e.Rows())
	row := make([]float64, e.Cols())
	for at, b := range c.m.Blocks(e) {
		for i := range b.Rows() {
			tensor.Decode64(row, b.Row(i), b.DType)
			sum := 0.0
			for _, x := range row {
				sum += x * x
			}
			if math.IsNaN(sum) || math.IsInf(sum, 0) {
				return nil, fmt.Errorf("row %d (%q) is not finite", at+i, c.m.tok.Token(int32(at+i)))
			}
			norms = append(norms, math.Sqrt(sum))
		}
	}
	return norms, nil
}

func (c *checker) sizes() {
	want := c.m.dims.VocabSize
	var got []int
	for _, e := range c.m.matrices() {
		got = append(got, e.Rows())
	}
	ok := !slices.ContainsFunc(got, func(n int) bool { return n != want }) && c.m.tok.Size() <= want
	c.add("vocab_size", ok, "config.json %d, rows %v, tokens %d", want, got, c.m.tok.Size())
}

// scripts are texts that any tokenizer which knows all bytes gives back unchanged.
var scripts = []string{
	"Hello, world! It's 2024: naïve café — “quotes”…", "Привет, мир! Съешь же ещё этих мягких французских булок, да выпей чаю.",
	"Γειά σου Κόσμε", "Բարեւ աշխարհ", "გამარჯობა მსოფლიო", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก",
	"你好，世界。春眠不觉晓", "こんにちは世界 カタカナ", "안녕하세요 세계", "👋🏽 🧑‍🚀 🇷🇺", "x = {\"a\": [1, 2.5e-3]}\n\tif y != 0:\n\t\treturn x",
	"a  b   c", "e\u0301 \u00a0 \u200b",
}

func (c *checker) roundTrips() {
	var bad []string
	skipped := 0
	for _, text := range scripts {
		got := c.m.tok.Decode(c.m.tok.Encode(text))
		if got == text || strings.TrimPrefix(got, " ") == text {
			continue
		}
		// A table that does not know all bytes, or normalizes, cannot give every text back;
		// then the target's must do no better.
		if c.against != nil && c.against.tok.Decode(c.against.tok.Encode(text)) != text {
			skipped++
			continue
		}
		bad = append(bad, fmt.Sprintf("%q became %q", text, got))
	}
	switch {
	case len(bad) > 0:
		c.add("round trip", false, "%d of %d texts: %s", len(bad), len(scripts), bad[0])
	case skipped > 0:
		c.add("round trip", true, "%d texts; %d more come back changed from the target's tokenizer too", len(scripts)-skipped, skipped)
	default:
		c.add("round trip", true, "%d texts of %d scripts", len(scripts), len(scripts)-3)
	}
}

func (c *checker) specials() {
	bad := ""
	seen := map[string]bool{}
	check := func(content string) {
		seen[content] = true
		if ids := c.m.tok.Encode(content); bad == "" && len(ids) != 1 {
			bad = fmt.Sprintf("%q encodes to %v", content, ids)
		}
	}
	for _, a := range c.m.tok.Definition().AddedTokens {
		check(a.Content)
	}
	if c.against != nil {
		for _, a := range c.against.tok.Definition().AddedTokens {
			check(a.Content)
		}
	}
	if bad == "" {
		bad = fmt.Sprintf("%d added tokens, one id each", len(seen))
		c.add("special tokens", true, "%s", bad)
		return
	}
	c.add("special tokens", false, "%s", bad)
}

// conversations are rendered before and after.
var conversations = [][]chat.Message{
	{{Role: "user", Content: "Назови столицу Франции."}},
	{{Role: "user", Content: "Hi!"}, {Role: "assistant", Content: "Hello."}, {Role: "user", Content: "Как дела?"}},
}

func (c *checker) template() {
	cfg := c.m.tok.Config()
	if cfg.ChatTemplate == "" {
		if c.against != nil && c.against.tok.Config().ChatTemplate != "" {
			c.add("chat template", false, "none, the target has one")
			return
		}
		c.add("chat template", true, "none")
		return
	}
	for _, messages := range conversations {
		after, err := render(c.m, messages)
		if err != nil {
			c.add("chat template", false, "does not render: %v%s", err, c.sinceWhen(messages))
			return
		}
		if c.against == nil || c.opts.TemplateReplaced || c.against.tok.Config().ChatTemplate == "" {
			continue
		}
		before, err := render(c.against, messages)
		if err != nil {
			c.add("chat template", false, "renders %q, but the target's does not: %v", after, err)
			return
		}
		if before != after {
			c.add("chat template", false, "renders %q, the target %q", after, before)
			return
		}
		// A SentencePiece-style tokenizer puts a blank before every piece of text between
		// special tokens; blanks are not compared.
		plain := strings.NewReplacer(" ", "")
		a, b := c.m.tok.Decode(c.m.tok.Encode(after)), c.against.tok.Decode(c.against.tok.Encode(before))
		if plain.Replace(a) != plain.Replace(b) {
			c.add("chat template", false, "encoded and decoded it is %q, the target %q", a, b)
			return
		}
	}
	how := ""
	if c.against != nil && !c.opts.TemplateReplaced {
		how = " as before"
	}
	c.add("chat template", true, "%d conversations render%s", len(conversations), how)
}

// sinceWhen says of a template that does not render whether that of the target does.
func (c *checker) sinceWhen(messages []chat.Message) string {
	if c.against == nil || c.opts.TemplateReplaced || c.against.tok.Config().ChatTemplate == "" {
		return ""
	}
	if _, err := render(c.against, messages); err != nil {
		return "; nor does that of the target, from which it comes"
	}
	return "; that of the target does"
}

// finiteLayers streams all tensors but the embeddings, whose rows are looked at one by one.
func (c *checker) finiteLayers() {
	names := c.m.LayerNames()
	if err := c.m.CheckFinite(c.ctx, names...); err != nil {
		c.add("finite layers", false, "%v", err)
		return
	}
	c.add("finite layers", true, "%d tensors without NaN or infinity", len(names))
}

// renderTime is the date that templates see, the same before and after.
var renderTime = time.Date(2024, 7, 26, 12, 0, 0, 0, time.UTC)

func render(m *model, messages []chat.Message) (string, error) {
	cfg := m.tok.Config()
	t, err := chat.Parse(cfg.ChatTemplate)
	if err != nil {
		return "", err
	}
	special := map[string]string{}
	for name, token := range map[string]string{"bos_token": cfg.BOS, "eos_token": cfg.EOS, "unk_token": cfg.UNK, "pad_token": cfg.PAD} {
		if token != "" {
			special[name] = token
		}
	}
	out, err := t.Render(chat.Options{Messages: messages, AddGenerationPrompt: true, Special: special, Now: renderTime})
	return out.Text, err
}

// stopTokens holds the eos ids of both config files against the target's, by token.
func (c *checker) stopTokens() {
	after, err := stops(c.m)
	if err != nil {
		c.add("stop tokens", false, "%v", err)
		return
	}
	for _, id := range after {
		if c.m.tok.Token(id) == "" {
			c.add("stop tokens", false, "eos_token_id %d is no token", id)
			return
		}
	}
	names := tokensOf(c.m, after)
	if c.against != nil {
		before, err := stops(c.against)
		if err == nil && !slices.Equal(tokensOf(c.against, before), names) && !c.opts.OneStop {
			c.add("stop tokens", false, "%q, the target has %q", names, tokensOf(c.against, before))
			return
		}
	}
	if len(after) == 0 {
		c.add("stop tokens", false, "no eos_token_id in generation_config.json or config.json: answers will not end")
		return
	}
	c.add("stop tokens", true, "%q", names)
}

func tokensOf(m *model, ids []int32) []string {
	var names []string
	for _, id := range ids {
		names = append(names, m.tok.Token(id))
	}
	return names
}

// stops returns the eos ids of generation_config.json, or else of config.json.
func stops(m *model) ([]int32, error) {
	for _, o := range []*orderedjson.Object{m.GenerationConfig(), m.Config()} {
		if o == nil || !o.Has("eos_token_id") {
			continue
		}
		var many []int32
		if ok, err := o.Decode("eos_token_id", &many); ok && err == nil {
			return many, nil
		}
		var one int32
		ok, err := o.Decode("eos_token_id", &one)
		if ok {
			return []int32{one}, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (c *checker) tied() {
	tied, said, err := checkpoint.TieWordEmbeddings(c.m.Config())
	if err != nil {
		c.add("tied flag", false, "%v", err)
		return
	}
	if said && tied != c.m.tied {
		c.add("tied flag", false, "config.json says %t, the weights say %t", tied, c.m.tied)
		return
	}
	c.add("tied flag", true, "%t, as the weights are", c.m.tied)
}

// untouched compares every tensor but the embeddings with the target's, bit by bit.
func (c *checker) untouched() {
	if c.against == nil {
		return
	}
	d, err := compareLayers(c.against, c.m)
	switch {
	case err != nil:
		c.add("layers", false, "%v", err)
	case d.missing > 0:
		c.add("layers", false, "%d tensors of the %s are missing: %s", d.missing, c.against.role, d.firstMissing)
	case d.worst > 0 && c.opts.LayersMerged:
		c.add("layers", true, "changed by the adapter: %s by up to %.3g", d.where, d.worst)
	case d.worst > 0:
		c.add("layers", false, "%s differs from the %s's by up to %.3g", d.where, c.against.role, d.worst)
	default:
		c.add("layers", true, "equal to the %s's", c.against.role)
	}
}
