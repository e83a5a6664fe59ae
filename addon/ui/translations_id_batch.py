"""Indonesian of the panels Variations and Storyboard; translations_id.py has all the rest."""

TEXTS = {
    "Variations": "Variasi",
    "Storyboard": "Papan Cerita",
    "Make a take for every combination of the alternatives in the prompt, and a contact sheet of them all": (
        "Buat satu take untuk setiap kombinasi alternatif dalam prompt, dan satu lembar kontak untuk semuanya"
    ),
    "Make a draft of the shot of every camera marker, and lay them into the sequencer with their prompts": (
        "Buat draf shot dari setiap penanda kamera, dan letakkan di pengurutan video bersama prompt-nya"
    ),
    "Stop every job of this batch. Takes that are whole stay": (
        "Hentikan semua pekerjaan kelompok ini. Take yang sudah utuh tetap ada"
    ),
    "Lay this storyboard into the sequencer, on channels of its own": (
        "Letakkan papan cerita ini di pengurutan video, pada salurannya sendiri"
    ),
    "Take this storyboard out of the sequencer again. Its takes stay": (
        "Keluarkan lagi papan cerita ini dari pengurutan video. Take-nya tetap ada"
    ),
    "Write what this marker's shot should show. Empty, it is the scene's prompt": (
        "Tulis apa yang ditampilkan shot penanda ini. Bila kosong, dipakai prompt adegan"
    ),
    "What this shot should show. Empty, it is the scene's prompt": (
        "Apa yang ditampilkan shot ini. Bila kosong, dipakai prompt adegan"
    ),
    "Vary Seed": "Variasikan Benih",
    "Give each variation another seed, counting up. Off, only the words differ": (
        "Beri setiap variasi benih lain, naik satu per satu. Bila mati, hanya kata-katanya yang berbeda"
    ),
    "Write alternatives as {dawn|noon}": "Tulis alternatif sebagai {dawn|noon}",
    "{} takes": "{} take",
    "{} = {} takes": "{} = {} take",
    "{} of {} takes": "{} dari {} take",
    "{} of {} takes are here": "{} dari {} take sudah ada",
    "Look at the contact sheet": "Lihat lembar kontaknya",
    "Look at what went wrong, and try again": "Lihat apa yang salah, lalu coba lagi",
    "Lay Storyboard": "Letakkan Papan Cerita",
    "no prompt": "tanpa prompt",
    # Errors
    "Marker": "Penanda",
    "Contact sheet": "Lembar kontak",
    "it is gone": "sudah tidak ada",
    "it is not there": "tidak ada di sana",
    "it is not in the sequencer": "tidak ada di pengurutan video",
    "it is not in the timeline": "tidak ada di garis waktu",
    "Choose one that is": "Pilih yang ada",
    "Wait until the batch has ended": "Tunggu sampai kelompoknya selesai",
    "Write one for the scene, or for this marker": "Tulis satu untuk adegan, atau untuk penanda ini",
}

OPERATORS = {
    "Generate Variations": "Buat Variasi",
    "Generate Storyboard": "Buat Papan Cerita",
    "Cancel Batch": "Batalkan Kelompok",
    "Contact Sheet": "Lembar Kontak",
    "Lay in Sequencer": "Letakkan di Pengurutan Video",
    "Remove Storyboard": "Hapus Papan Cerita",
    "Prompt of Marker": "Prompt Penanda",
}
