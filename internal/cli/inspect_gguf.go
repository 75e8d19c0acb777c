package cli

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lep/gguf"
)

type ggufInfo struct {
	Path       string           `json:"path"`
	Version    int              `json:"version"`
	Alignment  int              `json:"alignment"`
	Parameters int64            `json:"parameters"`
	Bytes      int64            `json:"bytes"`
	Types      map[string]int64 `json:"parameters_by_type"`
	Fields     []ggufField      `json:"fields"`
	Tensors    []ggufTensor     `json:"tensors"`
}

// ggufField is a field of a header; of a long array Value is only its length, "[3080 strings]".
type ggufField struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

type ggufTensor struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
}

func inspectGGUF(path string) (*ggufInfo, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info := &ggufInfo{Path: path, Version: f.Version, Alignment: f.Alignment, Types: map[string]int64{}}
	for _, field := range f.Fields {
		info.Fields = append(info.Fields, ggufField{field.Key, shortValue(field.Value)})
	}
	for _, t := range f.Tensors {
		n := int64(1)
		for _, d := range t.Shape {
			n *= int64(d)
		}
		info.Parameters += n
		info.Bytes += t.Size
		info.Types[t.Type.String()] += n
		info.Tensors = append(info.Tensors, ggufTensor{t.Name, t.Type.String(), t.Shape, t.Size})
	}
	return info, nil
}

// shortValue replaces arrays of more than eight elements by their length, and bytes that are no text.
func shortValue(v any) any {
	if s, ok := v.(string); ok {
		return strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Slice && r.Len() > 8 {
		return fmt.Sprintf("[%d of %s]", r.Len(), r.Type().Elem())
	}
	return v
}

// mostText is how much of a text value, such as a chat template, a line of the table shows.
const mostText = 60

func (a *app) printGGUF(g *ggufInfo, tensors bool) error {
	rows := [][]string{
		{"file", g.Path}, {"format", fmt.Sprintf("GGUF %d, aligned to %d", g.Version, g.Alignment)},
		{"parameters", fmt.Sprintf("%s in %s", thousands(g.Parameters), byteSize(g.Bytes))},
	}
	var types []string
	for t := range g.Types {
		types = append(types, t)
	}
	slices.Sort(types)
	for _, t := range types {
		rows = append(rows, []string{"  of " + t, thousands(g.Types[t])})
	}
	rows = append(rows, []string{"tensors", strconv.Itoa(len(g.Tensors))})
	for _, f := range g.Fields {
		text := fmt.Sprint(f.Value)
		if s, ok := f.Value.(string); ok && (len(s) > mostText || strings.ContainsAny(s, "\n\t")) {
			text = strconv.Quote(string([]rune(s)[:min(mostText, utf8.RuneCountInString(s))]))
		}
		rows = append(rows, []string{f.Key, text})
	}
	if tensors {
		for _, t := range g.Tensors {
			rows = append(rows, []string{t.Name, t.Type + " " + fmt.Sprint(t.Shape)})
		}
	}
	return a.table(rows)
}
