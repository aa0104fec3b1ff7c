package io.gantry.node.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Json;
import io.gantry.node.daemon.JavaProcess;
import io.gantry.transport.StreamTicket;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Measures streams between two processes on 127.0.0.2 and 127.0.0.3 with the settings that nodes use: raw Aeron messages, whole page
 * streams, and sealed ones. The first run of each kind warms up; of the others the median counts.
 */
public final class StreamBench implements AutoCloseable {
  private static final int RUNS = 4;

  private final Peer sender;
  private final Peer receiver;

  /** Starts both processes. */
  public StreamBench() {
    receiver = new Peer("receive", "127.0.0.3", "127.0.0.2");
    try {
      sender = new Peer("send", "127.0.0.2", "127.0.0.3");
    } catch (RuntimeException failure) {
      receiver.close();
      throw failure;
    }
  }

  /**
   * @param bytes per run
   * @return fields raw_bytes_per_s, pages_bytes_per_s, sealed_bytes_per_s
   */
  public ObjectNode measure(long bytes) {
    return Json.object()
        .put("bytes", bytes)
        .put("raw_bytes_per_s", raw(bytes))
        .put("pages_bytes_per_s", median("pages", bytes, false))
        .put("sealed_bytes_per_s", median("pages", bytes, true));
  }

  /** Bytes per second of a raw Aeron stream. */
  public long raw(long bytes) {
    return median("raw", bytes, false);
  }

  private long median(String kind, long bytes, boolean sealed) {
    long[] rates = new long[RUNS];
    for (int run = 0; run < RUNS; run++) {
      String ticket = (sealed ? StreamTicket.randomSealed() : StreamTicket.random()).text();
      receiver.tell(kind + " " + bytes + " " + ticket);
      sender.tell(kind + " " + bytes + " " + ticket + " " + receiver.port);
      sender.hear("rate");
      rates[run] = receiver.hear("rate");
    }
    long[] counted = Arrays.copyOfRange(rates, 1, RUNS);
    Arrays.sort(counted);
    return counted[counted.length / 2];
  }

  @Override
  public void close() {
    sender.close();
    receiver.close();
  }

  /** A {@link StreamPeer}. */
  private static final class Peer implements AutoCloseable {
    private final Process process;
    private final PrintStream input;
    private final BufferedReader output;
    private final long port;

    Peer(String role, String own, String other) {
      try {
        process =
            new ProcessBuilder(JavaProcess.of(StreamPeer.class, List.of(role, own, other))).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      } catch (IOException failure) {
        throw new CommandException(ExitCode.FAILED, "A process for the stream could not be started: " + failure.getMessage(), failure);
      }
      input = new PrintStream(process.getOutputStream(), true, StandardCharsets.US_ASCII);
      output = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.US_ASCII));
      port = hear("ready");
    }

    void tell(String line) {
      input.println(line);
    }

    /** The number behind an expected word. A peer gives up by itself when the stream does, so this ends. */
    long hear(String word) {
      try {
        String line = output.readLine();
        if (line == null || !line.startsWith(word + " ")) {
          throw new CommandException(ExitCode.FAILED, "A stream's process ended early; it has said above why.");
        }
        return Long.parseLong(line.substring(word.length() + 1));
      } catch (IOException failure) {
        throw new CommandException(ExitCode.FAILED, "A stream's process cannot be heard: " + failure.getMessage(), failure);
      }
    }

    @Override
    public void close() {
      input.close();
      try {
        if (!process.waitFor(10, TimeUnit.SECONDS)) {
          process.destroyForcibly();
        }
      } catch (InterruptedException interrupted) {
        process.destroyForcibly();
        Thread.currentThread().interrupt();
      }
    }
  }
}
