package model

// Written by testdata/rope.py; values are those of transformers.
var ropeGoldens = []struct {
	name      string
	scaling   map[string]any
	seqLen    int
	inv       []float64
	attention float64
}{
	{"linear", map[string]any{"rope_type": "linear", "factor": 4.0}, 0,
		[]float64{0.25, 0.079056941, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-05}, 1.0},
	{"dynamic, short", map[string]any{"rope_type": "dynamic", "factor": 2.0}, 100,
		[]float64{1, 0.316227764, 0.100000001, 0.0316227786, 0.00999999978, 0.00316227786, 0.00100000005, 0.000316227786}, 1.0},
	{"dynamic, long", map[string]any{"rope_type": "dynamic", "factor": 2.0}, 300,
		[]float64{1, 0.262445003, 0.0688773692, 0.0180765204, 0.004744092, 0.00124506326, 0.000326760608, 8.57566774e-05}, 1.0},
	{"yarn", map[string]any{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, 0,
		[]float64{1, 0.197642356, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-05}, 1.138629436111989},
	{"yarn, betas", map[string]any{"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": false}, 0,
		[]float64{1, 0.120533988, 0.0125000002, 0.00395284733, 0.00124999997, 0.000395284733, 0.000125000006, 3.95284733e-05}, 1.2079441541679836},
	{"yarn, attention factor", map[string]any{"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "attention_factor": 0.9}, 0,
		[]float64{1, 0.223994657, 0.0416666642, 0.00395284733, 0.00124999997, 0.000395284733, 0.000125000006, 3.95284733e-05}, 0.9},
	{"yarn, mscale", map[string]any{"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 64, "mscale": 1.0, "mscale_all_dim": 0.7}, 0,
		[]float64{1, 0.213453725, 0.0349999964, 0.000790569466, 0.000250000012, 7.90569466e-05, 2.49999994e-05, 7.90569447e-06}, 1.0879546075066122},
	{"llama3", map[string]any{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, 0,
		[]float64{1, 0.244384587, 0.0130422562, 0.00395284733, 0.00124999997, 0.000395284733, 0.000125000006, 3.95284733e-05}, 1.0},
}
