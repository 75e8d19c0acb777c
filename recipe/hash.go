package recipe

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"lep/internal/hint"
	"lep/train"
)

// settings spells a stage's options with their YAML keys.
func settings(options any) (json.RawMessage, error) {
	raw, err := yaml.MarshalWithOptions(options, yaml.JSON())
	return bytes.TrimSpace(raw), err
}

// versions count the changes of what a stage makes of the same inputs: a higher number runs it again.
var versions = map[Kind]int{KindVocab: 1, KindInit: 1, KindTrain: 1, KindPropagate: 1, KindCalibrate: 1, KindTune: 1, KindInstruct: 1,
	KindExport: 1, KindEval: 1, KindReport: 1}

// hash is what a stage's result follows from: its kind, options, inputs and the stages before it. Paths
// count by what they hold, so that a folder may be moved.
func (r *Run) hash(s *Stage) (string, map[string]string, error) {
	inputs := map[string]string{}
	for _, in := range s.inputs {
		digest, err := r.digests.input(in)
		if err != nil {
			return "", nil, in.missing(s, err)
		}
		inputs[in.path] = digest
	}
	text, err := settings(thatMatter(s.options))
	if err != nil {
		return "", nil, fmt.Errorf("stage %s: %w", s.Name, err)
	}
	hash := r.mixed(s, text, inputs)
	if rec := r.state[s].record; rec != nil && rec.Hash != hash {
		if older, err := s.asRecorded(text, rec); err != nil {
			return "", nil, fmt.Errorf("stage %s: %w", s.Name, err)
		} else if older := r.mixed(s, older, inputs); older == rec.Hash {
			return older, inputs, nil
		}
	}
	return hash, inputs, nil
}

// mixed is the hash of a stage for settings spelled as text.
func (r *Run) mixed(s *Stage, text json.RawMessage, inputs map[string]string) string {
	spelled := string(text)
	for _, path := range slices.SortedFunc(maps.Keys(inputs), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) {
		quoted, err := json.Marshal(path)
		if err != nil {
			panic("recipe: a path is no JSON: " + err.Error()) // there is no such string
		}
		spelled = strings.ReplaceAll(spelled, string(quoted), `"`+inputs[path]+`"`)
	}
	spelled = strings.ReplaceAll(spelled, r.recipe.RunDir, "${run.dir}")
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n%s\n", s.Kind, versions[s.Kind], spelled)
	for _, digest := range slices.Sorted(maps.Values(inputs)) {
		fmt.Fprintln(h, digest)
	}
	for _, n := range s.Needs {
		fmt.Fprintln(h, n.Name, r.state[n].identity)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// asRecorded is text, the settings of a stage, without those that the lep of its record did not have and that are
// at their defaults: a new setting is no reason to do all stages again.
func (s *Stage) asRecorded(text json.RawMessage, rec *Record) (json.RawMessage, error) {
	defaults, err := settings(thatMatter(sectionOf(s.Kind.section()).value))
	if err != nil {
		return nil, err
	}
	return without(text, rec.Options, defaults), nil
}

// without drops the keys of an object, and of those in it, that was lacks and that are as in defaults. It spells
// the rest as settings does.
func without(text, was, defaults json.RawMessage) json.RawMessage {
	now, before, usual := members(text), members(was), members(defaults)
	if now == nil || before == nil || usual == nil {
		return text // no object, or one that there is nothing to hold against
	}
	find := func(list []member, key string) json.RawMessage {
		if i := slices.IndexFunc(list, func(m member) bool { return m.key == key }); i >= 0 {
			return list[i].value
		}
		return nil
	}
	var parts []string
	for _, m := range now {
		old, fallback := find(before, m.key), find(usual, m.key)
		if old == nil && fallback != nil && bytes.Equal(m.value, fallback) {
			continue
		}
		parts = append(parts, fmt.Sprintf("%q: %s", m.key, without(m.value, old, fallback)))
	}
	return json.RawMessage("{" + strings.Join(parts, ", ") + "}")
}

// member is a key of an object with its value as it is spelled.
type member struct {
	key   string
	value json.RawMessage
}

// members lists those of an object, nil for anything else. A key may stand there twice: an inlined struct may have
// one of its outer struct's.
func members(object json.RawMessage) []member {
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil
	}
	list := []member{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		name, ok := key.(string)
		var value json.RawMessage
		if !ok || d.Decode(&value) != nil {
			return nil
		}
		list = append(list, member{name, value})
	}
	return list
}

// thatMatter are a stage's options without those that change no result: where a training runs and how
// often it saves.
func thatMatter(options any) any {
	switch o := options.(type) {
	case Train:
		o.Torch = train.Torch{}
		o.SaveSteps, o.SaveMinutes, o.SaveTotalLimit, o.LoggingSteps, o.TensorBoard = 0, 0, 0, 0, false
		return o
	case Calibrate:
		if o.API != "" { // the same model may answer at another address
			o.API = "server"
		}
		o.Concurrency, o.Timeout = 0, 0
		return o
	}
	return options
}

// missing says which setting of which stage named what is not there.
func (in input) missing(s *Stage, err error) error {
	advice := hint.Of(err)
	if advice == "" && errors.Is(err, fs.ErrNotExist) && in.kind != modelPath {
		advice = "paths in a recipe are relative to the recipe's folder"
	}
	return hint.Wrap(fmt.Errorf("stage %s: %s: %w", s.Name, in.name, err), advice)
}
