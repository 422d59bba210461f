package child

// codec walks a structure's fields in one fixed order, writing them to buf or
// reading them from it: one description of the format serves both halves.
type codec struct {
	buf     []byte
	reading bool
	bad     bool
}

func (c *codec) num(p *uint64) {
	if !c.reading {
		for shift := 0; shift < 64; shift += 8 {
			c.buf = append(c.buf, byte(*p>>shift))
		}
		return
	}
	if len(c.buf) < 8 {
		c.bad, *p = true, 0
		return
	}
	v := uint64(0)
	for i := 7; i >= 0; i-- {
		v = v<<8 | uint64(c.buf[i])
	}
	*p, c.buf = v, c.buf[8:]
}

func (c *codec) int(p *int) {
	v := uint64(*p)
	c.num(&v)
	*p = int(v)
}

func (c *codec) flag(p *bool) {
	v := uint64(0)
	if *p {
		v = 1
	}
	c.num(&v)
	*p = v != 0
}

func (c *codec) bytes(p *[]byte) {
	n := uint64(len(*p))
	c.num(&n)
	if !c.reading {
		c.buf = append(c.buf, *p...)
		return
	}
	if n > uint64(len(c.buf)) {
		c.bad, *p = true, nil
		return
	}
	*p, c.buf = c.buf[:n:n], c.buf[n:]
}

func (c *codec) str(p *string) {
	var b []byte
	if !c.reading {
		b = []byte(*p)
	}
	c.bytes(&b)
	if c.reading {
		*p = string(b)
	}
}

// list codes a slice; every element takes at least eight bytes, which bounds
// what a corrupt length can allocate.
func list[T any](c *codec, p *[]T, one func(*codec, *T)) {
	n := uint64(len(*p))
	c.num(&n)
	if c.reading {
		if n > uint64(len(c.buf)/8) {
			c.bad, n = true, 0
		}
		*p = nil
		if n > 0 {
			*p = make([]T, n)
		}
	}
	for i := range *p {
		one(c, &(*p)[i])
	}
}

func texts(c *codec, p *[]string) { list(c, p, (*codec).str) }
func numbers(c *codec, p *[]int)  { list(c, p, (*codec).int) }
