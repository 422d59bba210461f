// Api makes greetings.
package main

import (
	"fmt"
	"net/http"
	"os"

	"hello/service"
)

func main() {
	service.Run(func(w http.ResponseWriter, _ *http.Request) {
		n, err := service.Fetch(os.Getenv("STORE"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "Hello, visitor %s!", n)
	})
}
