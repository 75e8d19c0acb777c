package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"

	"lep/internal/hint"
	"lep/internal/orderedjson"
)

// AdapterConfigFile is PEFT's description of an adapter.
const AdapterConfigFile = "adapter_config.json"

// LoRAConfig is what lep knows of PEFT's adapter_config.json. The names are
// PEFT's.
type LoRAConfig struct {
	BaseModel         string    // base_model_name_or_path
	R                 int       // rank
	LoraAlpha         float64   // numerator of the scale
	UseRSLoRA         bool      // the scale is alpha/sqrt(r), not alpha/r
	RankPattern       []Pattern // overrides R for some modules; the first match counts
	AlphaPattern      []Pattern // overrides LoraAlpha
	TargetModules     []string  // names, or ends of paths
	TargetRegex       string    // instead of names: matches the whole path
	ExcludeModules    []string  // as TargetModules
	ExcludeRegex      string
	ModulesToSave     []string // modules whose matrices are saved whole
	LayersToTransform []int    // nil: all
	LayersPattern     []string
	FanInFanOut       bool   // base matrices are (in, out), as GPT-2's Conv1D stores them
	Bias              string // none, all, lora_only: which biases are saved whole
	EnsureTying       bool   // ensure_weight_tying

	raw             *orderedjson.Object
	target, exclude *regexp2.Regexp
}

// Pattern is an entry of rank_pattern or alpha_pattern: a regular expression for
// the end of a module's path, beginning at a dot or at its start.
type Pattern struct {
	Key   string
	Value float64
	match *regexp2.Regexp
}

// unsupported are settings that change what an adapter means. Each is refused
// when it is set to anything but null, false, 0 or empty.
var unsupported = []string{"use_dora", "use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "layer_replication",
	"trainable_token_indices", "target_parameters", "arrow_config", "kasa_config", "monteclora_config"}

// changesBase are initialisations that subtract the first adapter from the base,
// so that the adapter fits no published model.
var changesBase = []string{"pissa", "olora", "corda", "loftq", "lora_ga"}

// parseLoRAConfig reads adapter_config.json.
func parseLoRAConfig(data []byte) (c LoRAConfig, err error) {
	if c.raw, err = orderedjson.Parse(data); err != nil {
		return c, err
	}
	o := c.raw
	if kind := o.Text("peft_type"); !strings.EqualFold(kind, "LORA") {
		return c, fmt.Errorf("peft_type: %q, only LORA adapters are read", kind)
	}
	for _, key := range unsupported {
		if !empty(o.Raw(key)) {
			return c, hint.Errorf("merge the adapter with PEFT (merge_and_unload) and give the merged model",
				"%s: %s: such adapters are not read", key, o.Raw(key))
		}
	}
	for _, prefix := range changesBase {
		if strings.HasPrefix(o.Text("init_lora_weights"), prefix) {
			return c, hint.Errorf("merge the adapter with PEFT (merge_and_unload) and give the merged model",
				"init_lora_weights: %q changes the base model's weights", o.Text("init_lora_weights"))
		}
	}
	c.R, c.LoraAlpha, c.Bias = 8, 8, "none" // PEFT's defaults
	fields := []struct {
		key  string
		into any
	}{
		{"base_model_name_or_path", &c.BaseModel}, {"r", &c.R}, {"lora_alpha", &c.LoraAlpha}, {"use_rslora", &c.UseRSLoRA},
		{"fan_in_fan_out", &c.FanInFanOut}, {"bias", &c.Bias}, {"ensure_weight_tying", &c.EnsureTying},
	}
	for _, f := range fields {
		if _, err := o.Decode(f.key, f.into); err != nil {
			return c, err
		}
	}
	err = errors.Join(c.readTargets(), c.readExcluded(), c.readLists())
	if err == nil {
		c.RankPattern, err = readPatterns(o, "rank_pattern")
	}
	if err == nil {
		c.AlphaPattern, err = readPatterns(o, "alpha_pattern")
	}
	if err != nil {
		return c, err
	}
	return c, c.Validate()
}

// empty reports whether a setting is off.
func empty(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", "0", `""`, "[]", "{}":
		return true
	}
	return false
}

func (c *LoRAConfig) readTargets() error {
	const key = "target_modules"
	raw := c.raw.Raw(key)
	if len(raw) > 0 && raw[0] == '"' {
		_, err := c.raw.Decode(key, &c.TargetRegex)
		return err
	}
	_, err := c.raw.Decode(key, &c.TargetModules)
	return err
}

func (c *LoRAConfig) readExcluded() error {
	const key = "exclude_modules"
	raw := c.raw.Raw(key)
	if len(raw) > 0 && raw[0] == '"' {
		_, err := c.raw.Decode(key, &c.ExcludeRegex)
		return err
	}
	_, err := c.raw.Decode(key, &c.ExcludeModules)
	return err
}

// readLists reads the settings that may be one value or a list of them.
func (c *LoRAConfig) readLists() error {
	for key, into := range map[string]*[]string{"modules_to_save": &c.ModulesToSave, "layers_pattern": &c.LayersPattern} {
		raw := c.raw.Raw(key)
		if len(raw) > 0 && raw[0] == '"' {
			*into = []string{c.raw.Text(key)}
		} else if _, err := c.raw.Decode(key, into); err != nil {
			return err
		}
	}
	const key = "layers_to_transform"
	raw := c.raw.Raw(key)
	if n, err := strconv.Atoi(string(raw)); err == nil {
		c.LayersToTransform = []int{n}
		return nil
	}
	_, err := c.raw.Decode(key, &c.LayersToTransform)
	return err
}

func readPatterns(o *orderedjson.Object, key string) ([]Pattern, error) {
	if empty(o.Raw(key)) {
		return nil, nil
	}
	entries, err := orderedjson.Parse(o.Raw(key))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	var list []Pattern
	for _, k := range entries.Keys() {
		p := Pattern{Key: k}
		if ok, err := entries.Decode(k, &p.Value); err != nil || !ok {
			return nil, fmt.Errorf("%s: %q: want a number", key, k)
		}
		list = append(list, p)
	}
	return list, nil
}

// Limits on patterns, which come from files.
const (
	patternTimeout   = time.Second
	maxPatternLength = 4096
)

func compile(pattern string) (*regexp2.Regexp, error) {
	if len(pattern) > maxPatternLength {
		return nil, fmt.Errorf("pattern of %d bytes, at most %d are read", len(pattern), maxPatternLength)
	}
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	re.MatchTimeout = patternTimeout
	return re, nil
}

// Validate checks the settings and compiles the patterns.
func (c *LoRAConfig) Validate() (err error) {
	if c.R <= 0 {
		return fmt.Errorf("r: %d, want a rank above 0", c.R)
	}
	if !(math.Abs(c.LoraAlpha) <= math.MaxFloat32) {
		return fmt.Errorf("lora_alpha: %v, want a finite number", c.LoraAlpha)
	}
	if !slices.Contains([]string{"none", "all", "lora_only"}, c.Bias) {
		return fmt.Errorf("bias: %q, want none, all or lora_only", c.Bias)
	}
	if c.TargetRegex != "" && c.TargetRegex != "all-linear" {
		if c.target, err = compile(`^(?:` + c.TargetRegex + `)$`); err != nil {
			return fmt.Errorf("target_modules: %w", err)
		}
	}
	if c.ExcludeRegex != "" {
		if c.exclude, err = compile(`^(?:` + c.ExcludeRegex + `)$`); err != nil {
			return fmt.Errorf("exclude_modules: %w", err)
		}
	}
	for _, p := range slices.Concat(c.RankPattern, c.AlphaPattern) {
		if !(math.Abs(p.Value) <= math.MaxFloat32) {
			return fmt.Errorf("pattern %q: %v, want a finite number", p.Key, p.Value)
		}
	}
	for _, list := range [][]Pattern{c.RankPattern, c.AlphaPattern} {
		for i := range list {
			if list[i].match, err = compile(`^(.*\.)?(` + list[i].Key + `)$`); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookUp returns the value of the first pattern that matches a module's path.
func lookUp(patterns []Pattern, module string, otherwise float64) (float64, error) {
	for _, p := range patterns {
		ok, err := p.match.MatchString(module)
		if err != nil {
			return 0, fmt.Errorf("pattern %q: %w", p.Key, err)
		}
		if ok {
			return p.Value, nil
		}
	}
	return otherwise, nil
}

// rankAndAlpha returns a module's rank and the alpha of its scale.
func (c *LoRAConfig) rankAndAlpha(module string) (r int, alpha float64, err error) {
	rank, err := lookUp(c.RankPattern, module, float64(c.R))
	if err != nil {
		return 0, 0, err
	}
	if rank < 1 || rank > math.MaxInt32 || rank != math.Trunc(rank) {
		return 0, 0, fmt.Errorf("rank_pattern: rank %v for module %q, want an integer above 0", rank, module)
	}
	alpha, err = lookUp(c.AlphaPattern, module, c.LoraAlpha)
	return int(rank), alpha, err
}

var lastNumber = regexp.MustCompile(`^.*\.[^.]*\.(\d+)\.`)

// targets reports whether PEFT would put LoRA on a module, given its path in the
// base model.
func (c *LoRAConfig) targets(module string) (bool, error) {
	if slices.Contains(c.ExcludeModules, module) || slices.ContainsFunc(c.ExcludeModules, endOf(module)) {
		return false, nil
	}
	if c.exclude != nil {
		if out, err := c.exclude.MatchString(module); out || err != nil {
			return false, err
		}
	}
	if c.TargetRegex == "all-linear" {
		return true, nil
	}
	if c.target != nil {
		return c.target.MatchString(module)
	}
	if slices.Contains(c.TargetModules, module) {
		return true, nil
	}
	if !slices.ContainsFunc(c.TargetModules, endOf(module)) {
		return false, nil
	}
	if len(c.LayersToTransform) == 0 {
		return true, nil
	}
	layer := -1
	if len(c.LayersPattern) == 0 {
		if m := lastNumber.FindStringSubmatch(module); m != nil {
			layer, _ = strconv.Atoi(m[1])
		}
	}
	for _, p := range c.LayersPattern {
		if _, rest, ok := strings.Cut(module, "."+p+"."); ok && layer < 0 {
			number, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(number); err == nil {
				layer = n
			}
		}
	}
	return slices.Contains(c.LayersToTransform, layer), nil
}

// endOf tells whether a name is the end of a module's path, from a dot on.
func endOf(module string) func(string) bool {
	return func(name string) bool { return module == name || strings.HasSuffix(module, "."+name) }
}

// object returns adapter_config.json: the file as it was read, or what PEFT would
// write for settings made in memory.
func (c *LoRAConfig) object() (*orderedjson.Object, error) {
	if c.raw != nil {
		return c.raw, nil
	}
	patterns := func(list []Pattern) *orderedjson.Object {
		o := orderedjson.New()
		for _, p := range list {
			_ = o.Set(p.Key, p.Value) // a finite number
		}
		return o
	}
	var target, exclude any = c.TargetModules, c.ExcludeModules
	if c.TargetRegex != "" {
		target = c.TargetRegex
	}
	if c.ExcludeRegex != "" {
		exclude = c.ExcludeRegex
	}
	o := orderedjson.New()
	for _, f := range []struct {
		key   string
		value any
	}{
		{"alpha_pattern", patterns(c.AlphaPattern)}, {"auto_mapping", nil}, {"base_model_name_or_path", c.BaseModel}, {"bias", c.Bias},
		{"ensure_weight_tying", c.EnsureTying}, {"exclude_modules", exclude}, {"fan_in_fan_out", c.FanInFanOut},
		{"inference_mode", true}, {"init_lora_weights", true}, {"layers_pattern", c.LayersPattern},
		{"layers_to_transform", c.LayersToTransform}, {"lora_alpha", c.LoraAlpha}, {"lora_dropout", 0.0},
		{"modules_to_save", c.ModulesToSave}, {"peft_type", "LORA"}, {"r", c.R}, {"rank_pattern", patterns(c.RankPattern)},
		{"revision", nil}, {"target_modules", target}, {"task_type", "CAUSAL_LM"}, {"use_dora", false}, {"use_rslora", c.UseRSLoRA},
	} {
		if err := o.Set(f.key, f.value); err != nil {
			return nil, err
		}
	}
	return o, nil
}
