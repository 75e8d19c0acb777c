// Package metric measures answers: SQuAD's F1 and exact match, rouge over dictionary forms,
// accuracy, macro-F1 and Matthews' correlation, the grades of the Russian state exam, R-precision
// and the fidelity of copies. The figures equal those of the Python libraries that published
// results were made with (transformers' SQuAD metrics, rouge-score, scikit-learn, difflib).
//
//	f1 := metric.SQuADF1("река Камышинка", []string{"Камышинка"}) // 0.666…
//
// Functions are pure; each names its source.
package metric
