package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.TextFormat;
import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.interrupted_call_entry;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import io.gantry.checkpoint.testing.StubHost;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.Stub;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** State of real processes in real stubs. Needs root. */
@Timeout(60)
class StubStateTest {
  private static final int RUNS_BESIDE_THREADS = 8;
  private static final Duration LIMIT = Duration.ofSeconds(20);
  private static final long LEFT_NS = 300_000_000;

  @RegisterExtension final StubHost box = new StubHost();

  private static byte[] canonical(process_state state) {
    return StateDigest.canonical(final_state.newBuilder().addProcesses(state).build());
  }

  @Test
  void captureOfTheStubEqualsTheCaptureOfTheProgram() {
    process_state captured;
    try (var workload = Workload.start("state", "full", "30")) {
      Pausing.await(workload, LIMIT);
      captured =
          box.tracer().call(
              () -> {
                long now = System.nanoTime();
                try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                  return StubbedState.renumbered(StateCapture.capture(tree, now).getProcesses(0));
                }
              },
              LIMIT);
    }
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var threads = StubbedState.startThreads(tree.root(), captured);
            var arrival = new ProcessStateArrival(captured, threads);
            int before = tree.root().runs();
            arrival.recreate();
            // Each run costs two changes of context within the pause. Beside two for the process: timers, signals, and filters, which few programs have.
            assertThat(tree.root().runs() - before).as("times that calls were run").isBetween(threads.size(), threads.size() + RUNS_BESIDE_THREADS);
            arrival.rearmCalls();
            arrival.armAndSetRegisters();
            var recaptured = StubbedState.recapture(threads);
            assertThat(TextFormat.printer().printToString(StateDigest.canonical(recaptured)))
                .isEqualTo(TextFormat.printer().printToString(StateDigest.canonical(captured)));
            assertThat(canonical(recaptured)).isEqualTo(canonical(captured));
          }
        },
        LIMIT);
  }

  /** {@code exit_group(al)}: the status says how the wait ended. */
  private static final byte[] EXIT_WITH_RESULT = {
    // syscall (already made); mov %eax, %edi; mov $231, %eax; syscall
    0x0f, 0x05, (byte) 0x89, (byte) 0xc7, (byte) 0xb8, (byte) 0xe7, 0, 0, 0, 0x0f, 0x05
  };

  private record Waiting(long[] registers, int exitStatus) {}

  /** Registers of a program that waits for a hundred seconds in {@code call}, its code and data at {@code at}. */
  private static Waiting waiting(Stub stub, String call, long at) {
    long timespec = at + 64;
    long word = at + 96;
    byte[] memory = new byte[128];
    System.arraycopy(EXIT_WITH_RESULT, 0, memory, 0, EXIT_WITH_RESULT.length);
    ByteBuffer.wrap(memory).order(ByteOrder.LITTLE_ENDIAN).putLong(64, 100).putInt(96, 7);
    ProcessVm.write(stub.pid(), at, memory, memory.length);
    long[] registers = Ptrace.registers(stub.tid());
    registers[RegisterSet.IP] = at + 2;
    registers[RegisterSet.AX] = InterruptedCall.RESTART_BLOCK;
    int expected = 0;
    switch (call) {
      case "nanosleep" -> set(registers, SyscallNumber.NANOSLEEP, timespec, timespec);
      case "clock_nanosleep" -> set(registers, SyscallNumber.CLOCK_NANOSLEEP, 1, 0, timespec, 0);
      case "poll" -> set(registers, SyscallNumber.POLL, 0, 0, 100_000);
      case "futex" -> {
        set(registers, SyscallNumber.FUTEX, word, 128, 7, timespec);
        expected = -110 & 0xff; // ETIMEDOUT
      }
      default -> throw new AssertionError(call);
    }
    return new Waiting(registers, expected);
  }

  private static void set(long[] registers, int number, long... arguments) {
    registers[RegisterSet.ORIG_AX] = number;
    int[] places = {RegisterSet.DI, RegisterSet.SI, RegisterSet.DX, RegisterSet.R10};
    for (int i = 0; i < arguments.length; i++) {
      registers[places[i]] = arguments[i];
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"nanosleep", "clock_nanosleep", "poll", "futex"})
  void waitEndsWhenTheTimeThatWasLeftIsOver(String call) {
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var stub = tree.root();
            // Above what batches use.
            long at = stub.benchStart() + stub.benchBytes() - 4096;
            var waiting = waiting(stub, call, at);
            var entry =
                interrupted_call_entry.newBuilder()
                    .setNumber((int) waiting.registers()[RegisterSet.ORIG_AX])
                    .setNanosecondsLeft(LEFT_NS)
                    .build();
            byte[] before = ProcessVm.read(stub.pid(), at, 128);
            long begin = System.nanoTime();
            long[] registers = CallRearming.rearm(stub, entry, waiting.registers());
            assertThat(ProcessVm.read(stub.pid(), at, 128)).as("the program's memory").isEqualTo(before);
            assertThat(registers).isEqualTo(waiting.registers());
            Ptrace.setRegisters(stub.tid(), registers);
            tree.release();
            Awaitility.await().atMost(LIMIT).pollInterval(Duration.ofMillis(1)).until(() -> Wait.exitStatus(stub.pid(), false) != Wait.NOTHING);
            long tookNs = System.nanoTime() - begin;
            assertThat(Wait.exitStatus(stub.pid(), true)).isEqualTo(waiting.exitStatus());
            assertThat(tookNs).isBetween(LEFT_NS, LEFT_NS + 5_000_000_000L);
          }
        },
        LIMIT);
  }

  @Test
  void waitThatIsOverAtOnceIsMadeAgain() {
    box.tracer().run(
        () -> {
          try (var tree = box.begin()) {
            var stub = tree.root();
            long at = stub.benchStart() + stub.benchBytes() - 4096;
            var waiting = waiting(stub, "futex", at);
            // The word has changed meanwhile, so the call would answer EAGAIN.
            ProcessVm.write(stub.pid(), at + 96, new byte[] {8, 0, 0, 0}, 4);
            var entry = interrupted_call_entry.newBuilder().setNumber(SyscallNumber.FUTEX).setNanosecondsLeft(LEFT_NS).build();
            long[] registers = CallRearming.rearm(stub, entry, waiting.registers());
            assertThat(registers[RegisterSet.AX]).isEqualTo(SyscallNumber.FUTEX);
            assertThat(registers[RegisterSet.IP]).isEqualTo(at);
          }
        },
        LIMIT);
  }
}
