package strictyaml

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxSize  = 1 << 20 // bytes of a file
	maxDepth = 100     // lists and maps inside each other
	maxNodes = 200_000 // of the tree, aliases expanded
)

// Parse reads one document; name stands in errors. An empty one is a node of kind [Null].
func Parse(name string, data []byte) (root *Node, err error) {
	doc := &document{name: name}
	defer func() {
		if r := recover(); r != nil { // the parser panics on some malformed documents
			root, err = nil, fmt.Errorf("%s: malformed YAML: %v", name, r)
		}
	}()
	if len(data) > maxSize {
		return nil, fmt.Errorf("%s: %d bytes of YAML, want %d or less", name, len(data), maxSize)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: not UTF-8", name)
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	doc.lines = strings.SplitAfter(text, "\n")
	tokens := lexer.Tokenize(text)
	if err := doc.checkDepth(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, doc.syntaxError(err)
	}
	b := builder{doc: doc, anchors: map[string]*Node{}}
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if root != nil {
			return nil, b.at(d.Body).Errorf("", "a second document, want one")
		}
		if root, err = b.build(d.Body, 0); err != nil {
			return nil, err
		}
	}
	if root == nil {
		root = &Node{Line: 1, Column: 1, doc: doc}
	}
	return root, nil
}

// checkDepth bounds what the parser recurses into: brackets, and markers of list items and keys on
// one line. Nesting by indentation is bounded by the size, which grows with its square.
func (doc *document) checkDepth(tokens token.Tokens) error {
	brackets, markers, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			markers, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			markers++
		}
		if brackets > maxDepth || markers > maxDepth {
			return doc.at(t).Errorf("", "more than %d levels", maxDepth)
		}
	}
	return nil
}

func (doc *document) at(t *token.Token) *Node {
	n := &Node{doc: doc}
	if t != nil && t.Position != nil {
		n.Line, n.Column = t.Position.Line, t.Position.Column
	}
	return n
}

// syntaxError gives the parser's error the form of ours.
func (doc *document) syntaxError(err error) error {
	var e yaml.Error
	if errors.As(err, &e) {
		return doc.at(e.GetToken()).Errorf("", "%s", e.GetMessage())
	}
	return fmt.Errorf("%s: %w", doc.name, err)
}

// builder makes nodes of the parser's tree and expands aliases.
type builder struct {
	doc     *document
	anchors map[string]*Node // nil while the anchor's own value is being built
	nodes   int
}

func (b *builder) at(n ast.Node) *Node { return b.doc.at(n.GetToken()) }

func (b *builder) build(n ast.Node, depth int) (*Node, error) {
	out := b.at(n)
	if b.nodes++; b.nodes > maxNodes {
		return nil, out.Errorf("", "more than %d values", maxNodes)
	}
	if depth > maxDepth {
		return nil, out.Errorf("", "more than %d levels", maxDepth)
	}
	switch n := n.(type) {
	case *ast.NullNode:
		return out, nil
	case *ast.StringNode:
		quoted := n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
		out.Kind, out.Text, out.Quoted = Scalar, n.Value, quoted
	case *ast.LiteralNode:
		out.Kind, out.Text, out.Quoted = Scalar, n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.Kind, out.Text = Scalar, n.GetToken().Value
	case *ast.SequenceNode:
		out.Kind = List
		for _, v := range n.Values {
			item, err := b.build(v, depth+1)
			if err != nil {
				return nil, err
			}
			out.List = append(out.List, item)
		}
	case *ast.MappingNode:
		return out, b.buildMap(out, n.Values, depth)
	case *ast.MappingValueNode:
		return out, b.buildMap(out, []*ast.MappingValueNode{n}, depth)
	case *ast.AnchorNode:
		return b.anchor(n, depth)
	case *ast.AliasNode:
		return b.alias(n)
	case *ast.TagNode:
		return nil, out.Errorf("leave it out: types follow from what is expected", "tag %s", n.Start.Value)
	default:
		return nil, out.Errorf("", "%s is not read here", n.Type())
	}
	return out, nil
}

func (b *builder) buildMap(out *Node, values []*ast.MappingValueNode, depth int) error {
	out.Kind = Map
	if len(values) > 0 { // the parser's token is the first colon
		out.Line, out.Column = b.at(values[0].Key).Line, b.at(values[0].Key).Column
	}
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			return b.at(v.Key).Errorf("write the keys out", "merge keys are not read here")
		}
		key, err := b.build(v.Key, depth+1)
		if err != nil {
			return err
		}
		if key.Kind != Scalar {
			return key.Errorf("", "a key is %s, want a text", key.Kind)
		}
		if seen[key.Text] {
			return key.Errorf("", "key %q stands here a second time", key.Text)
		}
		seen[key.Text] = true
		value, err := b.build(v.Value, depth+1)
		if err != nil {
			return err
		}
		if value.Kind == Null { // the parser puts it at the colon
			value.Line, value.Column = key.Line, key.Column
		}
		out.Map = append(out.Map, Pair{Key: key, Value: value})
	}
	return nil
}

func (b *builder) anchor(n *ast.AnchorNode, depth int) (*Node, error) {
	name := n.Name.GetToken().Value
	b.anchors[name] = nil
	value, err := b.build(n.Value, depth)
	b.anchors[name] = value
	return value, err
}

func (b *builder) alias(n *ast.AliasNode) (*Node, error) {
	here := b.at(n)
	name := n.Value.GetToken().Value
	value, known := b.anchors[name]
	switch {
	case !known:
		return nil, here.Errorf("", "alias *%s: no such anchor before it", name)
	case value == nil:
		return nil, here.Errorf("", "alias *%s stands inside its own anchor", name)
	}
	if b.nodes += value.count(); b.nodes > maxNodes {
		return nil, here.Errorf("", "more than %d values", maxNodes)
	}
	return value.Copy(), nil
}

// count is the number of nodes of a tree.
func (n *Node) count() int {
	total := 1
	for _, item := range n.List {
		total += item.count()
	}
	for _, p := range n.Map {
		total += 1 + p.Value.count()
	}
	return total
}
