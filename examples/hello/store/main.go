// Store counts visitors, and remembers the number on its volume.
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"

	"hello/service"
)

const file = "/data/visitors"

func main() {
	var mu sync.Mutex
	service.Run(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		data, _ := os.ReadFile(file) // none yet: nobody was here
		n, _ := strconv.Atoi(string(data))
		if err := os.WriteFile(file, []byte(strconv.Itoa(n+1)), 0o644); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, n+1)
	})
}
