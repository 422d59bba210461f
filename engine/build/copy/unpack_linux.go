package copy

func (w *writer) unpack(move, destination) (done bool, err error) { return false, nil }
