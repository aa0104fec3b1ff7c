// An HTTP server with tickers, many goroutines and a collector that is kept busy. GET /N gives the bytes that only N determines.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var ticks, turns int64

// A ring of goroutines that pass a number on; the last gives it back increased by one for each.
func ring(length int) {
	first := make(chan int64)
	in := first
	for i := 0; i < length; i++ {
		out := make(chan int64)
		go func(in, out chan int64) {
			for number := range in {
				out <- number + 1
			}
		}(in, out)
		in = out
	}
	for number := int64(0); ; {
		first <- number
		got := <-in
		if got != number+int64(length) {
			fmt.Fprintln(os.Stderr, "the ring gave", got, "for", number)
			os.Exit(1)
		}
		number = got
		atomic.AddInt64(&turns, 1)
		time.Sleep(time.Millisecond)
	}
}

func litter() {
	kept := make([][]byte, 400)
	for i := 0; ; i++ {
		piece := make([]byte, 16*1024)
		for k := range piece {
			piece[k] = byte(i)
		}
		if old := kept[i%len(kept)]; old != nil && (old[0] != old[len(old)-1] || old[0] != byte(i-len(kept))) {
			fmt.Fprintln(os.Stderr, "a slice is damaged")
			os.Exit(1)
		}
		kept[i%len(kept)] = piece
		if i%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

func main() {
	go ring(200)
	go litter()
	go func() {
		for range time.NewTicker(5 * time.Millisecond).C {
			atomic.AddInt64(&ticks, 1)
		}
	}()
	http.HandleFunc("/ticks", func(answer http.ResponseWriter, _ *http.Request) {
		if atomic.LoadInt64(&turns) > 0 {
			fmt.Fprint(answer, atomic.LoadInt64(&ticks))
		}
	})
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		number, _ := strconv.Atoi(request.URL.Path[1:])
		digest := sha256.Sum256([]byte(request.URL.Path))
		time.Sleep(time.Millisecond)
		fmt.Fprint(answer, strings.Repeat(hex.EncodeToString(digest[:]), number%300))
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
	os.Exit(1)
}
