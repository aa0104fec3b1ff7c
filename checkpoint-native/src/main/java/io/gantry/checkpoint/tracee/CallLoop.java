package io.gantry.checkpoint.tracee;

import java.io.ByteArrayOutputStream;

/**
 * The machine code that walks the table of a {@link CallBatch} inside a stopped task. Position independent, touches no memory but
 * the table, and no vector register.
 *
 * <p>On entry: {@code rbx} and {@code r14} = first entry, {@code r12} = number of entries, {@code r15} = one more entry (a
 * {@code tgkill} that tells the tracer), {@code rsp} = eight bytes behind the start of a complete {@code rt_sigframe}, which the
 * {@code rt_sigreturn} at the end goes back through when there is no tracer any more to put the registers back.
 */
final class CallLoop {
  /** Registers of arguments 0 to 5 as the instruction encoding counts them: rdi, rsi, rdx, r10, r8, r9. */
  private static final int[] ARGUMENT_REGISTER = {7, 6, 2, 10, 8, 9};

  private static final byte[] CODE = assemble();

  private CallLoop() {}

  static byte[] code() {
    return CODE.clone();
  }

  static int length() {
    return CODE.length;
  }

  private static byte[] assemble() {
    var body = new ByteArrayOutputStream();
    emit(body, 0x4C, 0x8B, 0x6B, CallBatch.FLAGS_OFFSET); // mov r13, [rbx + flags]
    for (int i = 0; i < ARGUMENT_REGISTER.length; i++) {
      int r = ARGUMENT_REGISTER[i];
      // mov argument, [rbx + arguments + 8 i]
      emit(body, 0x48 | (r >> 3) << 2, 0x8B, 0x43 | (r & 7) << 3, CallBatch.ARGUMENTS_OFFSET + 8 * i);
    }
    for (int i = 0; i < ARGUMENT_REGISTER.length; i++) {
      int r = ARGUMENT_REGISTER[i];
      int high = r >> 3;
      int low = r & 7;
      emit(body, 0x41, 0xF6, 0xC5, 1 << i); // test r13b, bit i: is the argument the index of an earlier entry?
      emit(body, 0x74, 9); // jz over the next two instructions
      emit(body, 0x48 | high << 2 | high, 0x6B, 0xC0 | low << 3 | low, CallBatch.ENTRY_BYTES); // imul argument, argument, 72
      // mov argument, [r14 + argument + result]
      emit(body, 0x49 | high << 2 | high << 1, 0x8B, 0x44 | low << 3, low << 3 | 6, CallBatch.RESULT_OFFSET);
    }
    emit(body, 0x48, 0x8B, 0x03); // mov rax, [rbx]
    emit(body, 0x0F, 0x05); // syscall
    emit(body, 0x48, 0x89, 0x43, CallBatch.RESULT_OFFSET); // mov [rbx + result], rax
    emit(body, 0x41, 0x0F, 0xBA, 0xE5, 8); // bt r13d, 8 (CallBatch.FLAG_STOP_ON_ERROR)
    emit(body, 0x73, 8); // jnc over the next two instructions
    emit(body, 0x48, 0x3D, 0x01, 0xF0, 0xFF, 0xFF); // cmp rax, -4095
    emit(body, 0x73, 12); // jae end (unsigned: an error number)
    emit(body, 0x48, 0x83, 0xC3, CallBatch.ENTRY_BYTES); // add rbx, 72
    emit(body, 0x49, 0xFF, 0xCC); // dec r12
    int head = 9; // bytes of the two instructions at the top of the loop
    emit(body, 0xE9);
    emit32(body, -(head + body.size() + 4)); // jmp loop

    var code = new ByteArrayOutputStream();
    emit(code, 0x4D, 0x85, 0xE4); // loop: test r12, r12
    emit(code, 0x0F, 0x84);
    emit32(code, body.size()); // jz end
    code.writeBytes(body.toByteArray());
    emit(code, 0x49, 0x8B, 0x07); // end: mov rax, [r15]
    emit(code, 0x49, 0x8B, 0x7F, CallBatch.ARGUMENTS_OFFSET); // mov rdi, [r15 + 16]
    emit(code, 0x49, 0x8B, 0x77, CallBatch.ARGUMENTS_OFFSET + 8); // mov rsi, [r15 + 24]
    emit(code, 0x49, 0x8B, 0x57, CallBatch.ARGUMENTS_OFFSET + 16); // mov rdx, [r15 + 32]
    emit(code, 0x0F, 0x05); // syscall: tgkill, the tracer takes over here
    emit(code, 0xB8, 15, 0, 0, 0); // mov eax, 15 (rt_sigreturn)
    emit(code, 0x0F, 0x05); // syscall
    emit(code, 0x0F, 0x0B); // ud2: never reached
    while (code.size() % 8 != 0) {
      emit(code, 0x90); // whole words, as ptrace writes them
    }
    return code.toByteArray();
  }

  private static void emit(ByteArrayOutputStream out, int... bytes) {
    for (int b : bytes) {
      out.write(b);
    }
  }

  private static void emit32(ByteArrayOutputStream out, int value) {
    emit(out, value, value >> 8, value >> 16, value >> 24);
  }
}
