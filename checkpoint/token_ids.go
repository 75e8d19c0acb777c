package checkpoint

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"lep/internal/orderedjson"
)

// tokenIDKeys are keys that hold token ids without ending in _token_id.
var tokenIDKeys = map[string]bool{
	"suppress_tokens": true, "begin_suppress_tokens": true, "bad_words_ids": true, "force_words_ids": true,
	"image_token_index": true, "video_token_index": true, "audio_token_index": true,
}

// otherVocabulary are nested configs whose ids, if any, are not the language model's.
var otherVocabulary = map[string]bool{"vision_config": true, "audio_config": true}

func holdsTokenIDs(key string) bool {
	return strings.HasSuffix(key, "_token_id") || tokenIDKeys[key]
}

// RemapTokenIDs rewrites every token id of a config.json or generation_config.json
// by to (old id → new id): the keys that end in _token_id, suppress_tokens and
// begin_suppress_tokens, forced_decoder_ids, bad_words_ids, force_words_ids,
// sequence_bias and *_token_index, in nested configs too, and no other number.
// A list stays a list, null and negative numbers ("none") stay. An id that to does
// not know is an error that names the key.
func RemapTokenIDs(config *orderedjson.Object, to func(old int) (int, bool)) error {
	for _, key := range slices.Clone(config.Keys()) {
		raw := config.Raw(key)
		out, err := remapValue(key, raw, to)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if out != nil {
			if err := config.Set(key, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// remapValue returns the new value of a key, nil if it stays.
func remapValue(key string, raw json.RawMessage, to func(int) (int, bool)) (json.RawMessage, error) {
	switch {
	case holdsTokenIDs(key):
		return remapIDs(raw, to)
	case key == "forced_decoder_ids": // [[position, id], …]
		return remapPairs(raw, 1, to)
	case key == "sequence_bias": // [[[id, …], bias], …]
		return remapPairs(raw, 0, to)
	case isObject(raw) && !otherVocabulary[key]:
		o, err := orderedjson.Parse(raw)
		if err != nil {
			return nil, err
		}
		if err := RemapTokenIDs(o, to); err != nil {
			return nil, err
		}
		return o.MarshalJSON()
	}
	return nil, nil
}

// remapIDs maps an id or a list (of lists) of ids.
func remapIDs(raw json.RawMessage, to func(int) (int, bool)) (json.RawMessage, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	if len(raw) > 0 && raw[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		for i, item := range list {
			out, err := remapIDs(item, to)
			if err != nil {
				return nil, err
			}
			if out != nil {
				list[i] = out
			}
		}
		return orderedjson.Marshal(list)
	}
	var id int
	if err := json.Unmarshal(raw, &id); err != nil {
		return nil, fmt.Errorf("%s is no token id", raw)
	}
	if id < 0 {
		return nil, nil
	}
	mapped, ok := to(id)
	if !ok {
		return nil, fmt.Errorf("token id %d has no counterpart in the new vocabulary", id)
	}
	return orderedjson.Marshal(mapped)
}

// remapPairs maps the element at place `at` of each pair of a list.
func remapPairs(raw json.RawMessage, at int, to func(int) (int, bool)) (json.RawMessage, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	var pairs [][]json.RawMessage
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return nil, fmt.Errorf("want a list of pairs: %w", err)
	}
	for i, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("element %d has %d parts, want 2", i, len(p))
		}
		out, err := remapIDs(p[at], to)
		if err != nil {
			return nil, err
		}
		if out != nil {
			p[at] = out
		}
	}
	return orderedjson.Marshal(pairs)
}
