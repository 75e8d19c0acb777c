package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"lep/internal/hint"
)

// Unmarshal reads one document into a struct, map or any other value that into points to. Struct
// fields have the names of their yaml tags; "-" leaves a field out, "inline" reads a struct's
// fields as if they stood in the outer one. What the document does not name keeps its value.
func Unmarshal(name string, data []byte, into any) error {
	root, err := Parse(name, data)
	if err != nil {
		return err
	}
	return root.Decode(into)
}

// Unmarshaler is a type that decodes itself. [encoding.TextUnmarshaler] is used too, for scalars.
type Unmarshaler interface {
	UnmarshalYAMLNode(n *Node) error
}

// Decode reads the node into what into points to, as [Unmarshal] does. A pointer becomes nil and
// a list empty where the node is null, a struct keeps its values; elsewhere null is an error.
func (n *Node) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("strictyaml: decode into %T, want a pointer", into))
	}
	return n.decode(v.Elem(), "")
}

// errorf puts the path of keys before the message.
func (n *Node) errorf(path, advice, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	return n.Errorf(advice, "%s", message)
}

func (n *Node) want(path, what string) error {
	got := n.Kind.String()
	if n.Kind == Scalar {
		if got = strconv.Quote(n.Text); !n.Quoted {
			got = n.Text
		}
	}
	return n.errorf(path, "", "want %s, got %s", what, got)
}

var durationType = reflect.TypeFor[time.Duration]()

func (n *Node) decode(v reflect.Value, path string) error {
	if done, err := n.decodeItself(v, path); done {
		return err
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.Kind == Null {
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return n.decode(v.Elem(), path)
	case reflect.Struct:
		return n.decodeStruct(v, path)
	case reflect.Map:
		return n.decodeMap(v, path)
	case reflect.Slice:
		return n.decodeSlice(v, path)
	case reflect.Interface:
		if v.NumMethod() > 0 {
			panic(fmt.Sprintf("strictyaml: decode into %s", v.Type()))
		}
		if value := n.Value(); value != nil {
			v.Set(reflect.ValueOf(value))
		} else {
			v.SetZero()
		}
		return nil
	}
	return n.decodeScalar(v, path)
}

// decodeItself lets types that know how decode themselves.
func (n *Node) decodeItself(v reflect.Value, path string) (done bool, err error) {
	if !v.CanAddr() || v.Kind() == reflect.Pointer {
		return false, nil
	}
	switch to := v.Addr().Interface().(type) {
	case Unmarshaler:
		return true, to.UnmarshalYAMLNode(n)
	case encoding.TextUnmarshaler:
		if n.Kind != Scalar {
			return true, n.want(path, "one value")
		}
		if err := to.UnmarshalText([]byte(n.Text)); err != nil {
			return true, n.errorf(path, hint.Of(err), "%v", err)
		}
		return true, nil
	}
	return false, nil
}

func (n *Node) decodeStruct(v reflect.Value, path string) error {
	if n.Kind == Null {
		return nil
	}
	if n.Kind != Map {
		return n.want(path, "keys and values")
	}
	fields, names := structFields(v)
	for _, p := range n.Map {
		field, ok := fields[p.Key.Text]
		if !ok {
			return p.Key.errorf(path, hint.DidYouMean(p.Key.Text, names), "unknown key %q", p.Key.Text)
		}
		if err := p.Value.decode(field, join(path, p.Key.Text)); err != nil {
			return err
		}
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// structFields returns the fields by their names in YAML, and the names in order.
func structFields(v reflect.Value) (map[string]reflect.Value, []string) {
	fields, names := map[string]reflect.Value{}, []string(nil)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case strings.Contains(options, "inline"):
			inner, innerNames := structFields(v.Field(i))
			for _, name := range innerNames {
				fields[name] = inner[name]
			}
			names = append(names, innerNames...)
		default:
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			fields[name] = v.Field(i)
			names = append(names, name)
		}
	}
	return fields, names
}

func (n *Node) decodeMap(v reflect.Value, path string) error {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("strictyaml: decode into %s", v.Type()))
	}
	switch {
	case n.Kind == Null:
		v.SetZero()
		return nil
	case n.Kind != Map:
		return n.want(path, "keys and values")
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Map))
	for _, p := range n.Map {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := p.Value.decode(item, join(path, p.Key.Text)); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(p.Key.Text).Convert(v.Type().Key()), item)
	}
	v.Set(out)
	return nil
}

func (n *Node) decodeSlice(v reflect.Value, path string) error {
	switch n.Kind {
	case Null:
		v.SetZero()
		return nil
	case Scalar, Map:
		return n.want(path, "a list")
	}
	out := reflect.MakeSlice(v.Type(), len(n.List), len(n.List))
	for i, item := range n.List {
		if err := item.decode(out.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func (n *Node) decodeScalar(v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.String:
		if n.Kind != Scalar {
			return n.want(path, "a text")
		}
		v.SetString(n.Text)
	case reflect.Bool:
		b, ok := n.plain().(bool)
		if !ok {
			return n.want(path, "true or false")
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Type() == durationType {
			return n.decodeDuration(v, path)
		}
		i, ok := n.plain().(int64)
		if !ok || v.OverflowInt(i) {
			return n.want(path, "a whole number"+rangeOf(v))
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, ok := n.plain().(int64)
		if !ok || i < 0 || v.OverflowUint(uint64(i)) {
			return n.want(path, "a whole number from 0"+rangeOf(v))
		}
		v.SetUint(uint64(i))
	case reflect.Float32, reflect.Float64:
		switch f := n.plain().(type) {
		case int64:
			v.SetFloat(float64(f))
		case float64:
			v.SetFloat(f)
		default:
			return n.want(path, "a number")
		}
	default:
		panic(fmt.Sprintf("strictyaml: decode into %s", v.Type()))
	}
	return nil
}

func rangeOf(v reflect.Value) string {
	if v.Type().Bits() == 64 {
		return ""
	}
	return fmt.Sprintf(" of %d bits", v.Type().Bits())
}

func (n *Node) decodeDuration(v reflect.Value, path string) error {
	d, err := time.ParseDuration(n.Text)
	if n.Kind != Scalar || err != nil {
		return n.want(path, "a time like 90s or 1h30m")
	}
	v.SetInt(int64(d))
	return nil
}

var (
	intForm   = regexp.MustCompile(`^[-+]?[0-9]+(_[0-9]+)*$`)
	baseForm  = regexp.MustCompile(`^0(x[0-9a-fA-F]+|o[0-7]+)$`)
	floatForm = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
)

// plain is a scalar's value by YAML 1.2's core schema, and with _ between digits: nil, bool, int64,
// float64 or string.
func (n *Node) plain() any {
	if n.Kind != Scalar {
		return nil
	}
	if n.Quoted {
		return n.Text
	}
	switch n.Text {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	case ".inf", ".Inf", "+.inf":
		return math.Inf(1)
	case "-.inf", "-.Inf":
		return math.Inf(-1)
	case ".nan", ".NaN":
		return math.NaN()
	}
	if intForm.MatchString(n.Text) {
		if i, err := strconv.ParseInt(strings.ReplaceAll(n.Text, "_", ""), 10, 64); err == nil {
			return i
		}
	}
	if baseForm.MatchString(n.Text) {
		if i, err := strconv.ParseInt(n.Text, 0, 64); err == nil {
			return i
		}
	}
	if floatForm.MatchString(n.Text) {
		if f, err := strconv.ParseFloat(n.Text, 64); err == nil {
			return f
		}
	}
	return n.Text
}

// Value returns the node as nil, bool, int64, float64, string, []any or map[string]any.
func (n *Node) Value() any {
	switch n.Kind {
	case List:
		out := make([]any, len(n.List))
		for i, item := range n.List {
			out[i] = item.Value()
		}
		return out
	case Map:
		out := make(map[string]any, len(n.Map))
		for _, p := range n.Map {
			out[p.Key.Text] = p.Value.Value()
		}
		return out
	}
	return n.plain()
}
