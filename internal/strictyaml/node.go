package strictyaml

import (
	"fmt"
	"strings"
)

// Kind is what a node holds.
type Kind int

const (
	Null Kind = iota // nothing, ~ or null
	Scalar
	List
	Map
)

func (k Kind) String() string {
	return [...]string{"nothing", "one value", "a list", "keys and values"}[k]
}

// Node is a value with its place in the file. The exported fields may be changed before it is decoded.
type Node struct {
	Kind   Kind
	Text   string // of a scalar, as written; of a quoted one or a block, its content
	Quoted bool   // quoted or a block, and so a text whatever it looks like
	List   []*Node
	Map    []Pair // in the file's order, no key twice

	Line, Column int // of the first character, from 1; 0 for a node that is in no file
	doc          *document
}

// Pair is a key of a map and its value.
type Pair struct{ Key, Value *Node }

// document is what errors need of the file.
type document struct {
	name  string
	lines []string
}

// Get returns the value of a key of a map, nil if there is none.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, p := range n.Map {
		if p.Key.Text == key {
			return p.Value
		}
	}
	return nil
}

// Set gives a key of a map its value: in the place of the old one, or as the last. Null becomes a map.
func (n *Node) Set(key string, value *Node) {
	n.Kind = Map
	for i := range n.Map {
		if n.Map[i].Key.Text == key {
			n.Map[i].Value = value
			return
		}
	}
	n.Map = append(n.Map, Pair{Key: &Node{Kind: Scalar, Text: key, Line: value.Line, Column: value.Column, doc: value.doc}, Value: value})
}

// Copy returns a copy that shares nothing with n but the text of the file.
func (n *Node) Copy() *Node {
	if n == nil {
		return nil
	}
	c := *n
	c.List, c.Map = make([]*Node, len(n.List)), make([]Pair, len(n.Map))
	for i, item := range n.List {
		c.List[i] = item.Copy()
	}
	for i, p := range n.Map {
		c.Map[i] = Pair{Key: p.Key.Copy(), Value: p.Value.Copy()}
	}
	return &c
}

// Place is file:line:column.
func (n *Node) Place() string {
	if n.doc == nil {
		return "yaml"
	}
	return fmt.Sprintf("%s:%d:%d", n.doc.name, n.Line, n.Column)
}

// Errorf makes an error about the node: its place, the message, and the line it stands in.
func (n *Node) Errorf(advice, format string, args ...any) error {
	return &Error{Place: n.Place(), Message: fmt.Sprintf(format, args...), Excerpt: n.excerpt(), Advice: advice}
}

// excerpt is the node's line, cut where it is long, and a mark below its column.
func (n *Node) excerpt() string {
	if n.doc == nil || n.Line < 1 || n.Line > len(n.doc.lines) {
		return ""
	}
	line := []rune(strings.TrimRight(strings.ReplaceAll(n.doc.lines[n.Line-1], "\t", " "), "\r\n"))
	from := max(0, n.Column-1-60)
	if from >= len(line) {
		return ""
	}
	shown := line[from:min(len(line), from+100)]
	return fmt.Sprintf("%5d | %s\n        %s^", n.Line, string(shown), strings.Repeat(" ", max(0, n.Column-1-from)))
}

// Error is what is wrong at a place of a YAML file.
type Error struct {
	Place   string // file:line:column
	Message string // with the path of keys in front, where there is one
	Excerpt string // the line and a mark, or ""
	Advice  string
}

// Error is place and message, and the excerpt on lines of its own.
func (e *Error) Error() string {
	if e.Excerpt == "" {
		return e.Place + ": " + e.Message
	}
	return e.Place + ": " + e.Message + "\n" + e.Excerpt
}

// Hint is what to do, or "".
func (e *Error) Hint() string { return e.Advice }
