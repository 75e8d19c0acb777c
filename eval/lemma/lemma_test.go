package lemma

import (
	"bytes"
	"strings"
	"testing"

	"lep/internal/golden"
)

func TestNormal(t *testing.T) {
	for _, tt := range []struct{ word, want, why string }{
		{"городами", "город", "a dictionary word"},
		{"елка", "ёлка", "е may stand for ё"},
		{"ёж", "ёж", "ё stays"},
		{"стали", "стать", "probabilities decide between стать and сталь"},
		{"наикрасивейшая", "красивый", "a paradigm with a prefix"},
		{"псевдокошками", "псевдокошка", "a known prefix"},
		{"бутявками", "бутявка", "an unknown word by its ending"},
		{"running", "running", "Latin letters are their own form"},
		{"1e5", "1e5", "a number to Python"},
		{"", "", "nothing"},
		{"—", "—", "punctuation"},
		{strings.Repeat("е", 5000), strings.Repeat("е", 5000), "no work without bounds"},
	} {
		got, err := Normal(tt.word)
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.want {
			t.Errorf("Normal(%.40q) = %.40q, want %.40q: %s", tt.word, got, tt.want, tt.why)
		}
	}
}

func TestReference(t *testing.T) {
	path := golden.Shared(t, "reference", "darumeru", "lemmas.tsv")
	n, wrong := 0, 0
	golden.Lines(t, path, func(line []byte) {
		f := strings.Split(string(line), "\t")
		got, err := Normal(f[0])
		if err != nil {
			t.Fatal(err)
		}
		n++
		if got != f[1] {
			wrong++
			t.Logf("Normal(%q) = %q, want %q (%s)", f[0], got, f[1], f[2])
		}
	})
	if n == 0 || wrong > 0 {
		t.Errorf("%d of %d lemmas differ", wrong, n)
	}
}

func TestUnpackRefusesDamage(t *testing.T) {
	var b bytes.Buffer
	if err := Pack(&b, [5][]uint32{{0}, {0}, {0}, {0}, {0}}, []uint16{3, 0, 0, 9}, []string{"а"}, []string{"NOUN"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(b.Bytes()); err == nil || !strings.Contains(err.Error(), "paradigm 0: index 9, want below 3") {
		t.Errorf("a prefix id of 9 gives %v", err)
	}
	if _, err := Unpack([]byte("no zstd")); err == nil {
		t.Error("Unpack accepts what is no zstd")
	}
}

func FuzzNormal(f *testing.F) {
	for _, w := range []string{"городами", "елка", "бутявками", "не", "\xd0", "1e5", "вперёд"} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if _, err := Normal(word); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkNormal(b *testing.B) {
	words := strings.Fields("городами встретили бутявками наикрасивейшая псевдокошками елка река")
	for b.Loop() {
		for _, w := range words {
			if _, err := Normal(w); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*len(words))/b.Elapsed().Seconds(), "words/s")
}
