package propagate

// Diagnosis shows what a projection did to one matrix: its singular spectrum and the
// company that new tokens keep, in the donor (before) and in the result (after).
type Diagnosis struct {
	Module string `json:"module"` // embed_tokens or lm_head
	// Before and After are singular values of the centred rows, the largest first, by the
	// square root of the number of rows: the spread of the rows along each direction.
	Before     []Number     `json:"spectrum_before"`
	After      []Number     `json:"spectrum_after"`
	Neighbours []Neighbours `json:"neighbours"`
}

// Neighbours are the tokens nearest to a new token by cosine.
type Neighbours struct {
	ID     int32       `json:"id"`
	Token  string      `json:"token"` // its text
	Before []Neighbour `json:"before"`
	After  []Neighbour `json:"after"`
}

// Neighbour is a token near another.
type Neighbour struct {
	ID     int32  `json:"id"`
	Token  string `json:"token"`
	Cosine Number `json:"cosine"`
}
