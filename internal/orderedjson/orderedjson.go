// Package orderedjson edits JSON objects such as config.json without disturbing
// them: key order, unknown keys and the spelling of numbers stay as they were
// read. Reading forgives what published folders contain (a byte order mark,
// trailing commas, NaN and Infinity, which become null) and says so in Notes;
// writing is strict.
package orderedjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Object is a JSON object whose keys keep their order.
type Object struct {
	keys   []string
	values map[string]json.RawMessage
	// Notes lists what Parse had to mend, "line 3: trailing comma".
	Notes []string
}

// New returns an empty object.
func New() *Object { return &Object{values: map[string]json.RawMessage{}} }

// Parse reads one JSON object. A repeated key is an error.
func Parse(data []byte) (*Object, error) {
	clean, notes := mend(data)
	d := json.NewDecoder(bytes.NewReader(clean))
	tok, err := d.Token()
	if err != nil {
		return nil, at(clean, d.InputOffset(), err)
	}
	if tok != json.Delim('{') {
		return nil, fmt.Errorf("line 1: not a JSON object")
	}
	o := New()
	o.Notes = notes
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, at(clean, d.InputOffset(), err)
		}
		key := tok.(string)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, at(clean, d.InputOffset(), fmt.Errorf("key %q: %w", key, err))
		}
		if _, ok := o.values[key]; ok {
			return nil, at(clean, d.InputOffset(), fmt.Errorf("key %q stands twice", key))
		}
		o.keys = append(o.keys, key)
		o.values[key] = raw
	}
	if _, err := d.Token(); err != nil {
		return nil, at(clean, d.InputOffset(), err)
	}
	if rest := bytes.TrimSpace(clean[d.InputOffset():]); len(rest) > 0 {
		return nil, at(clean, d.InputOffset(), fmt.Errorf("text behind the object"))
	}
	return o, nil
}

func at(data []byte, offset int64, err error) error {
	return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:offset], []byte("\n")), err)
}

// Keys returns the keys in order; it aliases the object.
func (o *Object) Keys() []string { return o.keys }

// Has reports whether key is there, null included.
func (o *Object) Has(key string) bool { _, ok := o.values[key]; return ok }

// Raw returns the text of a value, nil if the key is absent.
func (o *Object) Raw(key string) json.RawMessage { return o.values[key] }

// Decode reads a value into v and reports whether the key is there and not null.
func (o *Object) Decode(key string, v any) (bool, error) {
	raw, ok := o.values[key]
	if !ok || string(raw) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, fmt.Errorf("key %q: %w", key, err)
	}
	return true, nil
}

// Text returns a string value, "" if the key is absent or no string.
func (o *Object) Text(key string) string {
	var s string
	if ok, err := o.Decode(key, &s); !ok || err != nil {
		return ""
	}
	return s
}

// Set replaces a value in its place or appends the key. v is marshalled without
// HTML escapes.
func (o *Object) Set(key string, v any) error {
	raw, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = Marshal(v); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	if !o.Has(key) {
		o.keys = append(o.keys, key)
	}
	o.values[key] = raw
	return nil
}

// Delete removes a key; an absent one is no error.
func (o *Object) Delete(key string) {
	if o.Has(key) {
		delete(o.values, key)
		o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
	}
}

// Clone returns a copy that can be edited apart; values are never changed in place.
func (o *Object) Clone() *Object {
	c := New()
	c.keys = slices.Clone(o.keys)
	for k, v := range o.values {
		c.values[k] = v
	}
	return c
}

// MarshalJSON writes the object compactly, in order.
func (o *Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := Marshal(k)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(o.values[k])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON is Parse.
func (o *Object) UnmarshalJSON(data []byte) error {
	p, err := Parse(data)
	if err == nil {
		*o = *p
	}
	return err
}

// Indent writes the object as config files are: two spaces, a final LF.
func (o *Object) Indent() ([]byte, error) {
	raw, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Marshal is json.Marshal without HTML escapes: "<s>" stays "<s>".
func Marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return json.RawMessage(bytes.TrimRight(b.Bytes(), "\n")), nil
}
