package metric

import "strings"

// SQuADNormalize prepares an answer for comparison, as the evaluation script of SQuAD 2.0 does:
// lower case, without ASCII punctuation, without articles, with single blanks.
func SQuADNormalize(s string) string {
	s = strings.Map(func(r rune) rune {
		if isPunct(r) {
			return -1
		}
		return r
	}, lower(s))
	return strings.Join(fields(withoutArticles(s)), " ")
}

// withoutArticles replaces the words a, an, the by blanks.
func withoutArticles(s string) string {
	var b strings.Builder
	start := -1 // of the word
	flush := func(end int) {
		if start < 0 {
			return
		}
		switch word := s[start:end]; word {
		case "a", "an", "the":
			b.WriteByte(' ')
		default:
			b.WriteString(word)
		}
		start = -1
	}
	for i, r := range s {
		if isWord(r) {
			if start < 0 {
				start = i
			}
			continue
		}
		flush(i)
		b.WriteRune(r)
	}
	flush(len(s))
	return b.String()
}

// SQuADExact is 1 if the normalized prediction equals one of the normalized answers, else 0.
func SQuADExact(prediction string, answers []string) float64 {
	p := SQuADNormalize(prediction)
	for _, a := range answers {
		if SQuADNormalize(a) == p {
			return 1
		}
	}
	return 0
}

// SQuADF1 is the best token F1 of the prediction against one of the answers.
func SQuADF1(prediction string, answers []string) float64 {
	p := fields(SQuADNormalize(prediction))
	best := 0.0
	for _, a := range answers {
		best = max(best, tokenF1(p, fields(SQuADNormalize(a))))
	}
	return best
}

func tokenF1(p, a []string) float64 {
	if len(p) == 0 || len(a) == 0 {
		return truth(len(p) == len(a))
	}
	counts := map[string]int{}
	for _, t := range a {
		counts[t]++
	}
	same := 0
	for _, t := range p {
		if counts[t] > 0 {
			counts[t]--
			same++
		}
	}
	return fmeasure(float64(same)/float64(len(p)), float64(same)/float64(len(a)))
}

func fmeasure(precision, recall float64) float64 {
	if precision+recall == 0 {
		return 0
	}
	return 2 * precision * recall / (precision + recall)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
