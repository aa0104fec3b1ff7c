package io.gantry.checkpoint.oci;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * A runtime's command line, as the OCI's runtime specification and {@code man 8 runc} have it. Any thread.
 *
 * @param name {@code runc} or {@code crun}
 * @param program absolute path
 * @param stateRoot where it keeps its state; empty for its own choice
 */
public record OciRuntime(String name, Path program, Optional<Path> stateRoot) {
  /** Those that are known to work; what others do with their first process is unknown. */
  public static final List<String> KNOWN = List.of("runc", "crun");

  /** For one command; a forced delete alone waits up to ten seconds for its processes. */
  static final Duration COMMAND_MAX = Duration.ofSeconds(30);

  private static final Duration LOOK = Duration.ofMillis(1);
  private static final String SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  private static final ObjectMapper JSON = new ObjectMapper();

  /**
   * What a runtime says of a container.
   *
   * @param status {@code creating}, {@code created}, {@code running}, {@code paused} or {@code stopped}
   * @param pid its first process as the host counts, 0 when there is none
   */
  public record State(String status, int pid, Path bundle) {}

  /** @throws CheckpointException when it is none of the {@link #KNOWN} or not installed */
  public static OciRuntime find(String name, Optional<Path> stateRoot) {
    if (!KNOWN.contains(name)) {
      throw new CheckpointException("the runtime '" + name + "' is not known; runc and crun are");
    }
    for (String directory : SEARCHED.split(":")) {
      var program = Path.of(directory, name);
      if (Files.isExecutable(program)) {
        return new OciRuntime(name, program, stateRoot);
      }
    }
    throw new CheckpointException("the runtime " + name + " is not installed on this host (looked in " + SEARCHED + ")");
  }

  /** A command line. */
  List<String> command(Optional<Path> log, String... words) {
    var command = new ArrayList<>(List.of(program.toString()));
    stateRoot.ifPresent(root -> command.addAll(List.of("--root", root.toString())));
    log.ifPresent(file -> command.addAll(List.of("--log", file.toString())));
    command.addAll(List.of(words));
    return command;
  }

  /** Directory in which it keeps a container's state; both runtimes' default for root. */
  Path stateOf(String id) {
    return stateRoot.orElse(Path.of("/run", name)).resolve(id);
  }

  /** What it knows of a container; empty when it knows none of that id. */
  public Optional<State> state(String id) {
    if (!Files.exists(stateOf(id))) {
      return Optional.empty();
    }
    var answer = run("state", id);
    if (answer.status != 0) {
      return Optional.empty();
    }
    try {
      JsonNode state = JSON.readTree(answer.output);
      return Optional.of(new State(state.path("status").asText(), state.path("pid").asInt(), Path.of(state.path("bundle").asText())));
    } catch (IOException e) {
      throw new CheckpointException(name + " state " + id + " answered what is no JSON: " + answer.output, e);
    }
  }

  /** Kills a container and removes all that the runtime has of it. Idempotent. */
  public void delete(String id) {
    if (Files.exists(stateOf(id))) {
      require("delete", "--force", id);
    }
  }

  /** Changes a container's limits. @param resources file with what is wanted, as JSON */
  void update(String id, Path resources) {
    require("update", "--resources", resources.toString(), id);
  }

  /** Lets the program of a container run that was created. */
  void start(String id) {
    require("start", id);
  }

  /**
   * Tells the runtime that a container runs whose first process is not the runtime's own any more: this answers {@code start} in its place. runc reads a byte
   * from {@code exec.fifo}, crun writes one (libcontainer's {@code container_linux.go}, libcrun's {@code container.c}). Does nothing when it knows already.
   */
  public void knowStarted(String id) {
    var fifo = stateOf(id).resolve("exec.fifo");
    if (!Files.exists(fifo) || state(id).filter(state -> state.status().equals("created")).isEmpty()) {
      return;
    }
    boolean reads = name.equals("runc");
    // For the writer's open to succeed there must be a reader.
    int ours = reads ? -1 : Fd.open(fifo.toString(), Fd.O_RDONLY | Fd.O_NONBLOCK | Fd.O_CLOEXEC, 0);
    try {
      var process = begin(command(Optional.empty(), "start", id));
      if (reads) {
        answer(fifo, process);
      }
      finish(process, "start " + id).orFail();
    } finally {
      if (ours >= 0) {
        Fd.close(ours);
      }
    }
  }

  private static void answer(Path fifo, Process reader) {
    long end = System.nanoTime() + COMMAND_MAX.toNanos();
    while (reader.isAlive() && System.nanoTime() < end) {
      int fd = Fd.tryOpen(fifo.toString(), Fd.O_WRONLY | Fd.O_NONBLOCK | Fd.O_CLOEXEC, 0);
      if (fd >= 0) {
        Fd.write(fd, "0".getBytes(StandardCharsets.US_ASCII));
        Fd.close(fd);
        return;
      }
      if (fd != -Errno.ENXIO) {
        return;
      }
      LockSupport.parkNanos(LOOK.toNanos());
    }
  }

  private record Answer(String what, int status, String output) {
    void orFail() {
      if (status != 0) {
        throw new CheckpointException(what + " failed with status " + status + ": " + output.strip());
      }
    }
  }

  private void require(String... words) {
    run(words).orFail();
  }

  private Answer run(String... words) {
    return finish(begin(command(Optional.empty(), words)), String.join(" ", words));
  }

  private static Process begin(List<String> command) {
    try {
      var process = new ProcessBuilder(command).redirectErrorStream(true).directory(Path.of("/").toFile()).start();
      process.getOutputStream().close();
      return process;
    } catch (IOException e) {
      throw new CheckpointException("cannot start " + command.getFirst() + ": " + e.getMessage(), e);
    }
  }

  private Answer finish(Process process, String what) {
    try (var output = process.getInputStream()) {
      if (!process.waitFor(COMMAND_MAX.toSeconds(), TimeUnit.SECONDS)) {
        throw new CheckpointException(name + " " + what + " did not end within " + COMMAND_MAX.toSeconds() + " s");
      }
      return new Answer(name + " " + what, process.exitValue(), new String(output.readAllBytes(), StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw new CheckpointException("reading what " + name + " " + what + " says: " + e.getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CheckpointException("interrupted while waiting for " + name + " " + what, e);
    } finally {
      process.destroyForcibly();
    }
  }
}
