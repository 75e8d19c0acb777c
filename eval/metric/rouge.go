package metric

import (
	"strings"

	"lep/eval/lemma"
)

// Rouge is what a rouge measure says of a prediction.
type Rouge struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	FMeasure  float64 `json:"fmeasure"`
}

// RougeTokens are the words that rouge compares: in lower case, ASCII punctuation read as
// blanks, each in its dictionary form.
func RougeTokens(s string) ([]string, error) {
	words := fields(strings.Map(func(r rune) rune {
		if isPunct(r) {
			return ' '
		}
		return r
	}, lower(s)))
	for i, w := range words {
		form, err := lemma.Normal(w)
		if err != nil {
			return nil, err
		}
		words[i] = form
	}
	return words, nil
}

// RougeN compares runs of n words (Lin 2004, ROUGE-N, with clipped counts).
func RougeN(n int, reference, prediction []string) Rouge {
	r, p := ngrams(n, reference), ngrams(n, prediction)
	same := 0
	for g, count := range p {
		same += min(count, r[g])
	}
	return rouge(same, max(1, len(prediction)-n+1), max(1, len(reference)-n+1))
}

func ngrams(n int, words []string) map[string]int {
	counts := map[string]int{}
	for i := 0; i+n <= len(words); i++ {
		counts[strings.Join(words[i:i+n], "\x00")]++
	}
	return counts
}

// RougeL compares by the longest common subsequence of all words (Lin 2004, ROUGE-L).
func RougeL(reference, prediction []string) Rouge {
	if len(reference) == 0 || len(prediction) == 0 {
		return Rouge{}
	}
	row := make([]int, len(prediction)+1)
	for _, w := range reference {
		diagonal := 0
		for j, v := range prediction {
			up := row[j+1]
			if w == v {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(up, row[j])
			}
			diagonal = up
		}
	}
	return rouge(row[len(prediction)], len(prediction), len(reference))
}

func rouge(same, predicted, wanted int) Rouge {
	p, r := float64(same)/float64(predicted), float64(same)/float64(wanted)
	return Rouge{p, r, fmeasure(p, r)}
}
