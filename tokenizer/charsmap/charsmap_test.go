package charsmap

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestNamed(t *testing.T) {
	if blob, err := Named("identity"); blob != nil || err != nil {
		t.Errorf("identity: %d bytes, %v", len(blob), err)
	}
	if _, err := Named("nfd"); err == nil || !strings.Contains(err.Error(), `unknown normalization rule "nfd"`) {
		t.Errorf("error %v", err)
	}
}

// compileRules makes a charsmap of rules in "from to" pairs.
func compileRules(t testing.TB, pairs ...string) []byte {
	t.Helper()
	rules := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		rules[pairs[i]] = pairs[i+1]
	}
	blob, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func TestLongestAndShortest(t *testing.T) {
	m, err := Read(compileRules(t, "a", "1", "ab", "X", "abcd", "Y", "я", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		in, long  string
		size      int
		shortText string
		shortOK   bool
	}{
		{"abcx", "X", 2, "1", true},
		{"abcd", "Y", 4, "1", true},
		{"a", "1", 1, "1", true},
		{"яя", "", 2, "", true},
		{"b", "", 0, "", false},
		{"", "", 0, "", false},
		{"\x00", "", 0, "", false},
		{"\xff", "", 0, "", false},
	} {
		if to, size := m.Longest(tt.in); to != tt.long || size != tt.size {
			t.Errorf("longest(%q) = %q, %d, want %q, %d", tt.in, to, size, tt.long, tt.size)
		}
		if to, ok := m.Shortest(tt.in); to != tt.shortText || ok != tt.shortOK {
			t.Errorf("shortest(%q) = %q, %v, want %q, %v", tt.in, to, ok, tt.shortText, tt.shortOK)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, tt := range []struct {
		key, to, want string
	}{
		{"", "a", "is empty"},
		{"a\x00", "a", "has a NUL"},
		{"a", "b\x00", "has a NUL"},
		{strings.Repeat("a", 300), "b", "longer than 256 bytes"},
	} {
		if _, err := Compile(map[string]string{tt.key: tt.to}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.10q to %q: error %v, want %q", tt.key, tt.to, err, tt.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	good := compileRules(t, "a", "b", "я", "ю")
	edit := func(at int, v uint32) []byte {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint32(b[4+4*at:], v)
		return b
	}
	for _, tt := range []struct {
		name string
		blob []byte
		want string
	}{
		{"empty", nil, "0 bytes"},
		{"short", good[:3], "3 bytes"},
		{"cut in the trie", good[:100], "trie of"},
		{"no end", good[:len(good)-1], "the last replacement has no end"},
		{"no texts", good[:4+binary.LittleEndian.Uint32(good)], "value"},
		{"root beyond the end", edit(0, 0x1FFFFF<<10), "leads to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Read(tt.blob); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// A trie finds what a map finds, whether subtrees are shared or not.
func TestTrieFindsItsKeys(t *testing.T) {
	for _, share := range []bool{false, true} {
		t.Run(fmt.Sprint("share=", share), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			keys := map[string]uint32{}
			for len(keys) < 20_000 {
				b := make([]byte, 1+r.IntN(8))
				for i := range b {
					b[i] = byte(1 + r.IntN(255)*r.IntN(2)/(1+r.IntN(9)))
				}
				keys[string(b)] = uint32(r.IntN(500))
			}
			var entries []Entry
			for k, v := range keys {
				entries = append(entries, Entry{k, v})
			}
			trie, err := BuildTrie(entries, share)
			if err != nil {
				t.Fatal(err)
			}
			if err := trie.check(500, 8); err != nil {
				t.Fatal(err)
			}
			n := 0
			for key, value := range trie.All() {
				n++
				if want, ok := keys[key]; !ok || want != value {
					t.Fatalf("key %q has value %d, want %d (%v)", key, value, want, ok)
				}
			}
			if n != len(keys) {
				t.Errorf("%d keys, want %d", n, len(keys))
			}
			for k := range keys {
				s := k + "\x05\x00more"
				best := 0
				for i := 1; i <= len(s); i++ {
					if _, ok := keys[s[:i]]; ok {
						best = i
					}
				}
				if value, size := trie.Longest(s); size != best || value != keys[s[:best]] {
					t.Fatalf("longest(%q) = %d, %d, want %d, %d", s, value, size, keys[s[:best]], best)
				}
			}
		})
	}
	if _, err := BuildTrie([]Entry{{"a", 1}, {"a", 2}}, false); err == nil {
		t.Error("a key that stands twice: no error")
	}
	if _, err := BuildTrie([]Entry{{"a\x00", 1}}, false); err == nil {
		t.Error("a key with NUL: no error")
	}
}

// TestReadOfUncountableKeys: a trie of a few thousand units can have 2^100 keys, all sharing
// their subtrees; reading it must not walk over them one by one.
func TestReadOfUncountableKeys(t *testing.T) {
	const levels = 100
	trie := make(Trie, 256*(levels+2))
	trie[0] = 256 << 10
	for i := uint32(1); i <= levels; i++ {
		for _, c := range []uint32{'a', 'b'} {
			unit := 256*i ^ c
			trie[unit] = (unit^256*(i+1))<<10 | c
			if i == levels {
				trie[unit] |= 1 << 8
			}
		}
	}
	trie[256*(levels+1)] = leafBit
	blob := binary.LittleEndian.AppendUint32(nil, uint32(4*len(trie)))
	for _, u := range trie {
		blob = binary.LittleEndian.AppendUint32(blob, u)
	}
	m, err := Read(append(blob, "x\x00"...))
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Repeat("ab", levels/2)
	if to, size := m.Longest(key + "a"); to != "x" || size != levels {
		t.Errorf("Longest = %q, %d, want x, %d", to, size, levels)
	}
	if !m.SpaceOnly() {
		t.Error("no key has a space, SpaceOnly says one has")
	}
}

func TestSpaceOnly(t *testing.T) {
	for _, tt := range []struct {
		keys []string
		want bool
	}{
		{[]string{"a", "b"}, true},
		{[]string{"a", " "}, true},
		{[]string{"a ", "b"}, false},
		{[]string{" a", " "}, false},
		{[]string{"aa", "ba b"}, false},
	} {
		rules := map[string]string{}
		for _, key := range tt.keys {
			rules[key] = "x"
		}
		blob, err := Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(blob)
		if err != nil {
			t.Fatal(err)
		}
		if m.SpaceOnly() != tt.want {
			t.Errorf("keys %q: SpaceOnly %v, want %v", tt.keys, m.SpaceOnly(), tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(compileRules(f, "a", "b", "ab", "c", "\u0438\u0306", "й", "\r\n", " "))
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, blob []byte) {
		m, err := Read(blob)
		if err != nil {
			return
		}
		n := 0
		for key, to := range m.All() {
			if got, size := m.Longest(key); size != len(key) || got != to {
				t.Fatalf("Longest(%q) = %q, %d, want %q", key, got, size, to)
			}
			if _, ok := m.Shortest(key); !ok {
				t.Fatalf("Shortest(%q) finds nothing", key)
			}
			if n++; n == 1000 { // keys that share their ends can be very many
				break
			}
		}
	})
}
