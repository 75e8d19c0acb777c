package trainer

// suffixArray fills sa with the suffixes of s in ascending order, by induced
// sorting (Nong, Zhang & Chan 2009, SA-IS). Symbols lie in [0, k). len(sa) is
// len(s).
func suffixArray(s, sa []int32, k int) {
	n := len(s)
	switch n {
	case 0:
		return
	case 1:
		sa[0] = 0
		return
	}
	// A suffix is of type S if it is smaller than the one behind it, else L.
	isS := make([]bool, n)
	for i := n - 2; i >= 0; i-- {
		isS[i] = s[i] < s[i+1] || s[i] == s[i+1] && isS[i+1]
	}
	isLMS := func(i int32) bool { return i > 0 && isS[i] && !isS[i-1] }

	// Each symbol's bucket: L suffixes from startL on, then S suffixes from startS on.
	startL, startS := make([]int32, k+1), make([]int32, k+1)
	for i, c := range s {
		if isS[i] {
			startL[c+1]++
		} else {
			startS[c]++
		}
	}
	for c := range k {
		startS[c] += startL[c]
		startL[c+1] += startS[c]
	}
	at := make([]int32, k+1)
	induce := func(lms []int32) {
		for i := range sa {
			sa[i] = -1
		}
		copy(at, startS)
		for _, i := range lms {
			sa[at[s[i]]] = i
			at[s[i]]++
		}
		copy(at, startL)
		sa[at[s[n-1]]] = int32(n - 1)
		at[s[n-1]]++
		for _, i := range sa {
			if i >= 1 && !isS[i-1] {
				c := s[i-1]
				sa[at[c]] = i - 1
				at[c]++
			}
		}
		copy(at, startL)
		for r := n - 1; r >= 0; r-- {
			if i := sa[r]; i >= 1 && isS[i-1] {
				c := s[i-1] + 1
				at[c]--
				sa[at[c]] = i - 1
			}
		}
	}

	var lms []int32
	for i := int32(1); i < int32(n); i++ {
		if isLMS(i) {
			lms = append(lms, i)
		}
	}
	induce(lms)
	if len(lms) == 0 {
		return
	}
	sorted := make([]int32, 0, len(lms))
	for _, i := range sa {
		if i >= 0 && isLMS(i) {
			sorted = append(sorted, i)
		}
	}
	sortLMS(s, sa, lms, sorted, isLMS)
	induce(sorted)
}

// sortLMS puts the LMS suffixes, whose LMS substrings are in order in sorted, in
// full order, by the suffix array of the string of the substrings' names. It uses
// sa as scratch.
func sortLMS(s, sa, lms, sorted []int32, isLMS func(int32) bool) {
	n := int32(len(s))
	// LMS positions are at least two apart, so that name[i/2] tells them apart.
	name := sa[:(n+1)/2]
	for i := range name {
		name[i] = -1
	}
	end := func(k int32) int32 { // end of the LMS substring that begins at k
		for i := k + 1; i < n; i++ {
			if isLMS(i) {
				return i
			}
		}
		return n
	}
	names := int32(0)
	name[sorted[0]/2] = 0
	for r := 1; r < len(sorted); r++ {
		a, b := sorted[r-1], sorted[r]
		endA, endB := end(a), end(b)
		same := endA-a == endB-b && endA < n && endB < n
		for same && a <= endA {
			if s[a] != s[b] {
				same = false
			}
			a++
			b++
		}
		if !same {
			names++
		}
		name[sorted[r]/2] = names
	}
	reduced := make([]int32, len(lms))
	for r, i := range lms {
		reduced[r] = name[i/2]
	}
	order := make([]int32, len(lms))
	suffixArray(reduced, order, int(names)+1)
	for r, i := range order {
		sorted[r] = lms[i]
	}
}
