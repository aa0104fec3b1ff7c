package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A list of system calls that a stopped task is made to run in one go, together with the memory they point into.
 *
 * <p>Layout of the scratch memory, from its first byte: a table of entries (see the constants), then data that grows upwards
 * from {@link #dataOffset}. {@link RemoteTask#run} puts it there.
 *
 * <p>Not thread-safe; belongs to the tracer thread that made it.
 */
public final class CallBatch {
  /** One entry: number, flags, six arguments, result; eight bytes each. Known to the code in {@code CallLoop}. */
  static final int ENTRY_BYTES = 72;

  static final int FLAGS_OFFSET = 8;
  static final int ARGUMENTS_OFFSET = 16;
  static final int RESULT_OFFSET = 64;

  /** Flag: leave the loop when this call fails. Bits 0 to 5 say which arguments are results of earlier entries. */
  static final int FLAG_STOP_ON_ERROR = 1 << 8;

  private static final int DATA_FIRST = 512;

  private static final long NOT_REACHED = Long.MIN_VALUE;

  private final long address;
  private final int callsMax;
  private final int dataMax;
  /** Grows as it is used: hundreds of batches are made within a pause, and hardly one of them needs all that it may have. */
  private byte[] data = new byte[DATA_FIRST];
  private final List<Call> calls = new ArrayList<>();
  private int dataUsed;
  private int meetingSignal = Signals.SIGSTOP;

  /**
   * @param address where the scratch memory is in the task
   * @param callsMax most calls; the table takes this many entries
   * @param dataMax bytes for strings, structures and results
   */
  CallBatch(long address, int callsMax, int dataMax) {
    this.address = address;
    this.callsMax = callsMax;
    this.dataMax = dataMax;
  }

  /**
   * Says how a stub's thread is to tell the tracer that it is done. {@code SIGSTOP}, which is usual, cannot be blocked; but to send one the kernel goes through all
   * threads of the process ({@code prepare_signal} in {@code kernel/signal.c}), so that thousands of threads which each send one take the square of that. Any
   * other signal must be neither blocked nor pending when the batch ends; what the process does about it does not matter while it is traced.
   */
  public void meetBy(int signal) {
    meetingSignal = signal;
  }

  int meetingSignal() {
    return meetingSignal;
  }

  /** Adds a call; when it fails, those behind it are not made and {@link RemoteTask#run} throws with {@code what}. */
  public Call call(String what, int number, long... arguments) {
    return add(what, number, true, arguments);
  }

  /** Adds a call that may fail; look at {@link Call#result()}. */
  public Call attempt(String what, int number, long... arguments) {
    return add(what, number, false, arguments);
  }

  /**
   * Has the tracer act while the task stands still between two calls, such as taking a descriptor before the next call closes it.
   * If the agent dies meanwhile the task makes the rest of the calls all the same. {@code action} runs on the tracer thread and may
   * look at results of earlier calls through {@link Call#result()}; what it throws comes out of {@link RemoteTask#run} after the rest
   * of the batch has run.
   */
  public Call meanwhile(String what, Runnable action) {
    var call = add(what, SyscallNumber.TGKILL, false, new long[0]);
    call.meanwhile = action;
    return call;
  }

  private Call add(String what, int number, boolean required, long[] arguments) {
    if (calls.size() == callsMax) {
      throw new IllegalStateException("a batch takes at most " + callsMax + " calls");
    }
    if (arguments.length > 6) {
      throw new IllegalArgumentException("a system call has at most six arguments");
    }
    var call = new Call(calls.size(), what, number, required, Arrays.copyOf(arguments, 6));
    calls.add(call);
    return call;
  }

  /** Puts bytes into the scratch memory, 16-byte aligned; returns their address in the task. */
  public long bytes(byte[] content) {
    long at = reserve(content.length);
    System.arraycopy(content, 0, data, (int) (at - address - dataOffset()), content.length);
    return at;
  }

  /** Puts a string and its final zero byte into the scratch memory. */
  public long string(String text) {
    byte[] raw = text.getBytes(StandardCharsets.UTF_8);
    return bytes(Arrays.copyOf(raw, raw.length + 1));
  }

  /** Zeroed room for a result; returns its address in the task. */
  public long reserve(int size) {
    int at = (dataUsed + 15) & ~15;
    if (at + size > dataMax) {
      throw new IllegalStateException("a batch takes at most " + dataMax + " bytes of data");
    }
    if (at + size > data.length) {
      data = Arrays.copyOf(data, Math.min(dataMax, Math.max(at + size, 2 * data.length)));
    }
    dataUsed = at + size;
    return address + dataOffset() + at;
  }

  /** After the run: {@code size} bytes at an address that {@link #reserve} or {@link #bytes} gave. */
  public byte[] read(long at, int size) {
    int from = (int) (at - address - dataOffset());
    return Arrays.copyOfRange(data, from, from + size);
  }

  /** Whether this many more calls and bytes (each piece rounded up to 16) fit. */
  public boolean fits(int moreCalls, int moreBytes) {
    return calls.size() + moreCalls <= callsMax && dataUsed + moreBytes + 16 <= dataMax;
  }

  public int size() {
    return calls.size();
  }

  List<Call> calls() {
    return calls;
  }

  /** Bytes of the table that are in use. */
  int tableUsed() {
    return calls.size() * ENTRY_BYTES;
  }

  /**
   * Writes the table's entries, results preset to "not reached".
   *
   * @param meeting arguments of the {@code tgkill} that tells the tracer, for entries with {@link #meanwhile}
   */
  void putTable(ByteBuffer out, long[] meeting) {
    for (var call : calls) {
      out.putLong(call.number).putLong(call.links | (call.required ? FLAG_STOP_ON_ERROR : 0));
      for (int i = 0; i < 6; i++) {
        out.putLong(call.meanwhile != null && i < meeting.length ? meeting[i] : call.arguments[i]);
      }
      out.putLong(NOT_REACHED);
    }
  }

  /** Takes the results out of a copy of the table. */
  void takeResults(ByteBuffer table) {
    for (var call : calls) {
      call.result(table.getLong(call.index * ENTRY_BYTES + RESULT_OFFSET));
    }
  }

  /** Takes the data, as the calls left it. */
  void takeData(byte[] from) {
    System.arraycopy(from, 0, data, 0, dataUsed);
  }

  /** Takes results and data out of the process in which the calls were made, which stands still. */
  void takeAnswers(int pid) {
    byte[][] both = ProcessVm.read(pid, address, tableUsed(), address + dataOffset(), dataUsed);
    takeResults(ByteBuffer.wrap(both[0]).order(ByteOrder.LITTLE_ENDIAN));
    System.arraycopy(both[1], 0, data, 0, dataUsed);
  }

  /** Throws when a required call failed, with its name and the kernel's answer. */
  void requireSuccess(String task) {
    for (var call : calls) {
      if (call.required && call.result < 0 && call.result > -4096) {
        throw new KernelException(call.what + " in " + task, (int) -call.result);
      }
      if (call.result == NOT_REACHED) {
        throw new CheckpointException(call.what + " in " + task + " was not reached");
      }
    }
  }

  long address() {
    return address;
  }

  int dataOffset() {
    return callsMax * ENTRY_BYTES;
  }

  byte[] data() {
    return data;
  }

  int dataUsed() {
    return dataUsed;
  }

  /** One call of a batch. */
  public static final class Call {
    private final int index;
    private final String what;
    private final int number;
    private final boolean required;
    private final long[] arguments;
    private int links;
    private Runnable meanwhile;
    private long result = NOT_REACHED;

    private Call(int index, String what, int number, boolean required, long[] arguments) {
      this.index = index;
      this.what = what;
      this.number = number;
      this.required = required;
      this.arguments = arguments;
    }

    /** Makes argument {@code position} (0 to 5) the result of an earlier call of the same batch. */
    public Call link(int position, Call earlier) {
      if (earlier.index >= index) {
        throw new IllegalArgumentException("a call can only be linked to an earlier one");
      }
      arguments[position] = earlier.index;
      links |= 1 << position;
      return this;
    }

    /** The result, or minus the error number. Only after the run, and only when the call was reached. */
    public long result() {
      if (result == NOT_REACHED) {
        throw new IllegalStateException(what + " was not run");
      }
      return result;
    }

    public String what() {
      return what;
    }

    int index() {
      return index;
    }

    int number() {
      return number;
    }

    boolean required() {
      return required;
    }

    long[] arguments() {
      return arguments;
    }

    int links() {
      return links;
    }

    void result(long value) {
      result = value;
    }

    /** What the tracer does when the task reaches this entry; null for an ordinary call. */
    Runnable meanwhile() {
      return meanwhile;
    }
  }
}
